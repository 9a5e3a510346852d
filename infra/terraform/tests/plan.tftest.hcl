# What must hold of a plan, with a provider that is only pretended: no account, no network.
#   terraform test      (or: tofu test)
mock_provider "google" {}

variables {
  project = "a-project"
}

run "bucket" {
  command = plan

  assert {
    condition     = google_storage_bucket.runs.uniform_bucket_level_access && google_storage_bucket.runs.public_access_prevention == "enforced"
    error_message = "The bucket could be opened to everybody."
  }
  assert {
    condition     = google_storage_bucket.runs.versioning[0].enabled && google_storage_bucket.runs.soft_delete_policy[0].retention_duration_seconds >= 604800
    error_message = "What is deleted by mistake must be had back for a week."
  }
  assert {
    condition = alltrue([
      for rule in google_storage_bucket.runs.lifecycle_rule :
      one(rule.action).type == "AbortIncompleteMultipartUpload" || (one(rule.action).type == "Delete" && one(rule.condition).with_state == "ARCHIVED")
    ])
    error_message = "A rule could delete what is live: a run's newest checkpoint among it."
  }
  assert {
    condition     = !google_storage_bucket.runs.force_destroy
    error_message = "destroy must not take runs with it."
  }
}

run "accounts" {
  command = apply

  assert {
    condition     = google_storage_bucket_iam_member.job.role == "roles/storage.objectUser" && google_storage_bucket_iam_member.job.bucket == "a-project-catgan"
    error_message = "Jobs use the objects of this bucket and nothing else."
  }
  assert {
    condition     = google_service_account_iam_member.pods.member == "serviceAccount:a-project.svc.id.goog[catgan/catgan]"
    error_message = "Pods of the Kubernetes account must act as the job's account."
  }
  assert {
    condition     = length(google_service_account.ray_head) == 0 && length(google_project_iam_member.ray_head) == 0
    error_message = "The head of `ray up` has rights that nobody asked for."
  }
}

run "pools" {
  command = plan

  variables {
    gpu_pools = {
      "l4-spot"        = 8
      "l4-on-demand"   = 4
      "a100-spot"      = 2
      "a100-on-demand" = 2
      "h100-spot"      = 2
      "h100-queued"    = 2
    }
  }

  assert {
    condition = alltrue([
      for name, pool in google_container_node_pool.gpu :
      pool.autoscaling[0].total_min_node_count == 0 && pool.autoscaling[0].location_policy == "ANY" && pool.timeouts.create == "60m"
    ])
    error_message = "Every pool starts at none, takes any zone and may wait an hour."
  }
  assert {
    condition = alltrue([
      for name, pool in google_container_node_pool.gpu :
      pool.node_config[0].taint[0].key == "catgan.dev/pool" && pool.node_config[0].taint[0].value == name && pool.node_config[0].labels["catgan.dev/pool"] == name
    ])
    error_message = "Label and taint of a pool are its name."
  }
  assert {
    condition = alltrue([
      for name, pool in google_container_node_pool.gpu :
      pool.node_config[0].spot == endswith(name, "-spot") && pool.node_config[0].flex_start == endswith(name, "-queued")
    ])
    error_message = "A pool is bought as its name says."
  }
  assert {
    condition = alltrue([
      for name, pool in google_container_node_pool.gpu :
      length(pool.node_config[0].kubelet_config) == (endswith(name, "-spot") ? 1 : 0)
    ])
    error_message = "Spot pods, and they alone, get a longer time to end."
  }
  assert {
    condition     = google_container_node_pool.gpu["l4-spot"].node_config[0].kubelet_config[0].shutdown_grace_period_seconds - google_container_node_pool.gpu["l4-spot"].node_config[0].kubelet_config[0].shutdown_grace_period_critical_pods_seconds == 105
    error_message = "The overlays of infra/kuberay count on 105 s for a spot pod."
  }
  assert {
    condition     = google_container_node_pool.head.node_config[0].spot != true && google_container_node_pool.head.node_config[0].labels["catgan.dev/pool"] == "head"
    error_message = "Heads are on machines that stay."
  }
}

run "cluster" {
  command = plan

  assert {
    condition     = google_container_cluster.this.workload_identity_config[0].workload_pool == "a-project.svc.id.goog" && google_container_cluster.this.datapath_provider == "ADVANCED_DATAPATH"
    error_message = "Identities of pods and network policies need these."
  }
}

run "outputs" {
  command = apply

  assert {
    condition     = output.run_address == "gs://a-project-catgan/runs" && output.dataset_address == "gs://a-project-catgan/datasets"
    error_message = "Addresses are those that a config takes."
  }
  assert {
    condition     = output.image == "us-central1-docker.pkg.dev/a-project/catgan/catgan:0.1.0"
    error_message = "The image is where the cluster reads it."
  }
}

run "head_of_ray_up" {
  command = plan

  variables {
    ray_up       = true
    admin_ranges = ["203.0.113.7/32"]
  }

  assert {
    condition     = join(",", google_compute_firewall.ray_ssh[0].source_ranges) == "203.0.113.7/32"
    error_message = "ssh is open to more than was asked."
  }
}

run "refuses_a_pool_that_is_not_sold" {
  command = plan
  variables {
    gpu_pools = { "h100-on-demand" = 1 }
  }
  expect_failures = [var.gpu_pools]
}

run "refuses_a_pool_that_is_not_known" {
  command = plan
  variables {
    gpu_pools = { "l4-preemptible" = 1 }
  }
  expect_failures = [var.gpu_pools]
}

run "refuses_the_whole_internet" {
  command = plan
  variables {
    admin_ranges = ["0.0.0.0/0"]
  }
  expect_failures = [var.admin_ranges]
}

run "refuses_a_tag_that_moves" {
  command = plan
  variables {
    image_tag = "latest"
  }
  expect_failures = [var.image_tag]
}
