# Machines with GPUs, one each: spot, on demand, and queued (Dynamic Workload Scheduler's
# flex-start). All from none to what `gpu_pools` says. Names, types and the taint are those of
# trainer/launch/machines.py.
locals {
  machines = {
    l4   = { type = "g2-standard-12", accelerator = "nvidia-l4" }
    t4   = { type = "n1-standard-8", accelerator = "nvidia-tesla-t4" }
    a100 = { type = "a2-highgpu-1g", accelerator = "nvidia-tesla-a100" }
    h100 = { type = "a3-highgpu-1g", accelerator = "nvidia-h100-80gb" }
  }

  pools = {
    for name, most in var.gpu_pools : name => {
      most         = most
      gpu          = split("-", name)[0]
      machine      = local.machines[split("-", name)[0]]
      provisioning = join("-", slice(split("-", name), 1, length(split("-", name))))
    }
  }

  # Of the time a spot node has, this much is for the daemons that must end last.
  spot_critical_seconds = 15
}

resource "google_container_node_pool" "gpu" {
  for_each = local.pools

  name           = each.key
  cluster        = google_container_cluster.this.id
  node_locations = [for letter in sort(var.gpu_zones) : "${var.region}-${letter}"]

  # Whichever zone has one: GPUs are scarce, and an even spread would wait for the fullest zone.
  autoscaling {
    total_min_node_count = 0
    total_max_node_count = each.value.most
    location_policy      = "ANY"
  }

  management {
    # A queued machine is not repaired: it would have to be waited for again.
    auto_repair  = each.value.provisioning != "queued"
    auto_upgrade = true
  }

  node_config {
    machine_type    = each.value.machine.type
    spot            = each.value.provisioning == "spot"
    flex_start      = each.value.provisioning == "queued"
    disk_size_gb    = 200
    disk_type       = "pd-balanced"
    service_account = google_service_account.nodes.email
    oauth_scopes    = ["https://www.googleapis.com/auth/cloud-platform"]
    labels          = { "catgan.dev/pool" = each.key }

    # Keeps others off, and a job off machines that it did not ask for. Google adds one for the GPU.
    taint {
      key    = "catgan.dev/pool"
      value  = each.key
      effect = "NO_SCHEDULE"
    }

    guest_accelerator {
      type  = each.value.machine.accelerator
      count = 1

      gpu_driver_installation_config {
        gpu_driver_version = "LATEST"
      }
    }

    # Starts a container before its image has come: this one has gigabytes of libraries.
    gcfs_config {
      enabled = true
    }

    gvnic {
      enabled = true
    }

    # Faster messages of NCCL between several nodes.
    fast_socket {
      enabled = contains(["l4", "a100"], each.value.gpu)
    }

    workload_metadata_config {
      mode = "GKE_METADATA"
    }

    dynamic "kubelet_config" {
      for_each = each.value.provisioning == "spot" ? [1] : []
      content {
        shutdown_grace_period_seconds               = var.spot_grace_seconds
        shutdown_grace_period_critical_pods_seconds = local.spot_critical_seconds
      }
    }

    dynamic "reservation_affinity" {
      for_each = each.value.provisioning == "queued" ? [1] : []
      content {
        consume_reservation_type = "NO_RESERVATION"
      }
    }
  }

  # Google tries for long where there is no GPU to be had.
  timeouts {
    create = "60m"
    update = "60m"
    delete = "60m"
  }
}
