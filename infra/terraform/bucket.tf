# Runs and data sets. What is live is never deleted by a rule: catgan itself keeps the newest
# checkpoints and removes older ones, and only what it left behind is cleared away here.
resource "google_storage_bucket" "runs" {
  name                        = var.bucket == "" ? "${var.project}-catgan" : var.bucket
  location                    = var.region
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"
  force_destroy               = !var.deletion_protection

  versioning {
    enabled = true
  }

  soft_delete_policy {
    retention_duration_seconds = var.undelete_days * 86400
  }

  lifecycle_rule {
    action {
      type = "Delete"
    }
    condition {
      days_since_noncurrent_time = var.undelete_days
      with_state                 = "ARCHIVED"
    }
  }

  # run.json is written anew every 5 s by rank 0, and every 10 s by the driver, while a run goes on.
  lifecycle_rule {
    action {
      type = "Delete"
    }
    condition {
      num_newer_versions = 5
      with_state         = "ARCHIVED"
    }
  }

  lifecycle_rule {
    action {
      type = "AbortIncompleteMultipartUpload"
    }
    condition {
      age = 7
    }
  }

  depends_on = [google_project_service.used]
}
