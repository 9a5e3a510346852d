# Which Terraform or OpenTofu, and which provider. The state holds no secret; keep it in a bucket
# of its own where several people apply (a `backend "gcs"` block in a file beside these).
terraform {
  required_version = ">= 1.7"

  required_providers {
    google = {
      source = "hashicorp/google"
      # 7.39 knows how long a spot pod may take to end.
      version = ">= 7.39, < 8"
    }
  }
}

provider "google" {
  project = var.project
  region  = var.region
}
