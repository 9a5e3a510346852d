# Only for infra/gcp/cluster.yaml: the head starts and ends machines by itself, so its account may
# do that. Workers run as the account of jobs.
resource "google_service_account" "ray_head" {
  count = var.ray_up ? 1 : 0

  account_id   = "catgan-ray-head"
  display_name = "catgan: head of a cluster by ray up"
  depends_on   = [google_project_service.used]
}

resource "google_project_iam_member" "ray_head" {
  count = var.ray_up ? 1 : 0

  project = var.project
  role    = "roles/compute.instanceAdmin.v1"
  member  = "serviceAccount:${google_service_account.ray_head[0].email}"
}

resource "google_service_account_iam_member" "ray_head" {
  count = var.ray_up ? 1 : 0

  service_account_id = google_service_account.job.name
  role               = "roles/iam.serviceAccountUser"
  member             = "serviceAccount:${google_service_account.ray_head[0].email}"
}

resource "google_storage_bucket_iam_member" "ray_head" {
  count = var.ray_up ? 1 : 0

  bucket = google_storage_bucket.runs.name
  role   = "roles/storage.objectUser"
  member = "serviceAccount:${google_service_account.ray_head[0].email}"
}

# Machines of Compute pull the image as the account they run as.
resource "google_artifact_registry_repository_iam_member" "ray" {
  for_each = var.ray_up ? {
    head   = google_service_account.ray_head[0].email
    worker = google_service_account.job.email
  } : {}

  location   = google_artifact_registry_repository.images.location
  repository = google_artifact_registry_repository.images.name
  role       = "roles/artifactregistry.reader"
  member     = "serviceAccount:${each.value}"
}

resource "google_compute_firewall" "ray_among_themselves" {
  count = var.ray_up ? 1 : 0

  name        = "catgan-ray-among-themselves"
  network     = google_compute_network.this.name
  source_tags = ["catgan-ray"]
  target_tags = ["catgan-ray"]

  allow {
    protocol = "tcp"
  }
}

resource "google_compute_firewall" "ray_ssh" {
  count = var.ray_up && length(var.admin_ranges) > 0 ? 1 : 0

  name          = "catgan-ray-ssh"
  network       = google_compute_network.this.name
  source_ranges = var.admin_ranges
  target_tags   = ["catgan-ray"]

  allow {
    protocol = "tcp"
    ports    = ["22"]
  }
}
