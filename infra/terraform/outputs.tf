# What a config and the commands of infra/README.md want to be told.

output "run_address" {
  description = "For run=; put the run's name behind it."
  value       = "gs://${google_storage_bucket.runs.name}/runs"
}

output "dataset_address" {
  description = "For dataset.address=; put the data set's name behind it."
  value       = "gs://${google_storage_bucket.runs.name}/datasets"
}

output "image" {
  description = "For cluster.image=, and what to build and push."
  value       = "${var.region}-docker.pkg.dev/${var.project}/${google_artifact_registry_repository.images.repository_id}/catgan:${var.image_tag}"
}

output "service_account" {
  description = "Account of Google Cloud that pods act as; an annotation in infra/kuberay/base."
  value       = google_service_account.job.email
}

output "namespace" {
  description = "For cluster.namespace=."
  value       = var.namespace
}

output "pools" {
  description = "Node pools with GPUs: values of the label and taint catgan.dev/pool."
  value       = sort([for pool in google_container_node_pool.gpu : pool.name])
}

output "get_credentials" {
  description = "Lets kubectl reach the cluster."
  value       = "gcloud container clusters get-credentials ${google_container_cluster.this.name} --dns-endpoint --region ${var.region} --project ${var.project}"
}
