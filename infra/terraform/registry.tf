# The image, beside the cluster: pulling it from far away costs, and image streaming wants it near.
resource "google_artifact_registry_repository" "images" {
  location      = var.region
  repository_id = "catgan"
  format        = "DOCKER"
  description   = "The image of infra/docker"

  docker_config {
    # A run that goes on finds the image that it began with.
    immutable_tags = true
  }

  depends_on = [google_project_service.used]
}

resource "google_artifact_registry_repository_iam_member" "nodes" {
  location   = google_artifact_registry_repository.images.location
  repository = google_artifact_registry_repository.images.name
  role       = "roles/artifactregistry.reader"
  member     = "serviceAccount:${google_service_account.nodes.email}"
}
