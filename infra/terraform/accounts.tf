# Who pods are, who nodes are, and what each may do. There are no keys.

resource "google_service_account" "job" {
  account_id   = "catgan"
  display_name = "catgan: training jobs"
  depends_on   = [google_project_service.used]
}

# Objects of this one bucket; no other bucket, and not the bucket's own settings.
resource "google_storage_bucket_iam_member" "job" {
  bucket = google_storage_bucket.runs.name
  role   = "roles/storage.objectUser"
  member = "serviceAccount:${google_service_account.job.email}"
}

# Pods with the Kubernetes service account of infra/kuberay/base act as it.
resource "google_service_account_iam_member" "pods" {
  service_account_id = google_service_account.job.name
  role               = "roles/iam.workloadIdentityUser"
  member             = "serviceAccount:${var.project}.svc.id.goog[${var.namespace}/catgan]"

  # The pool of identities comes with the project's first cluster.
  depends_on = [google_container_cluster.this]
}

resource "google_service_account" "nodes" {
  account_id   = "catgan-nodes"
  display_name = "catgan: nodes of the cluster"
  depends_on   = [google_project_service.used]
}

# Logs and metrics; the role that Google made for nodes.
resource "google_project_iam_member" "nodes" {
  project = var.project
  role    = "roles/container.defaultNodeServiceAccount"
  member  = "serviceAccount:${google_service_account.nodes.email}"
}
