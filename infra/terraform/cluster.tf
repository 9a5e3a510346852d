# The cluster and the machines of heads and submitters. KubeRay's operator is installed with helm,
# where its version can be pinned; Google's own Ray add-on stays off.
resource "google_container_cluster" "this" {
  name                     = "catgan"
  location                 = var.region
  network                  = google_compute_network.this.id
  subnetwork               = google_compute_subnetwork.this.id
  remove_default_node_pool = true
  initial_node_count       = 1
  deletion_protection      = var.deletion_protection
  # Enforces network policies.
  datapath_provider = "ADVANCED_DATAPATH"
  # The first whose spot nodes can give pods more than 15 s.
  min_master_version = "1.35"

  release_channel {
    channel = "REGULAR"
  }

  workload_identity_config {
    workload_pool = "${var.project}.svc.id.goog"
  }

  ip_allocation_policy {
    cluster_secondary_range_name  = "pods"
    services_secondary_range_name = "services"
  }

  private_cluster_config {
    enable_private_nodes = true
  }

  # The API server's name is open to who has the right in Google Cloud; its address to these.
  control_plane_endpoints_config {
    dns_endpoint_config {
      allow_external_traffic = true
    }
  }

  master_authorized_networks_config {
    dynamic "cidr_blocks" {
      for_each = var.admin_ranges
      content {
        cidr_block = cidr_blocks.value
      }
    }
  }

  addons_config {
    ray_operator_config {
      enabled = false
    }
  }

  # Also for the pool that is there only until ours are.
  node_config {
    service_account = google_service_account.nodes.email
    oauth_scopes    = ["https://www.googleapis.com/auth/cloud-platform"]
  }

  timeouts {
    create = "60m"
    update = "60m"
    delete = "60m"
  }

  lifecycle {
    ignore_changes = [node_config]
  }

  depends_on = [google_project_iam_member.nodes]
}

# Heads, submitters and the cluster's own pods: machines that are not taken back.
resource "google_container_node_pool" "head" {
  name           = "head"
  cluster        = google_container_cluster.this.id
  node_locations = [for letter in slice(sort(var.gpu_zones), 0, 1) : "${var.region}-${letter}"]

  autoscaling {
    total_min_node_count = 1
    total_max_node_count = 4
    location_policy      = "ANY"
  }

  node_config {
    machine_type    = "n2-standard-4"
    disk_size_gb    = 100
    disk_type       = "pd-balanced"
    service_account = google_service_account.nodes.email
    oauth_scopes    = ["https://www.googleapis.com/auth/cloud-platform"]
    labels          = { "catgan.dev/pool" = "head" }

    gcfs_config {
      enabled = true
    }

    gvnic {
      enabled = true
    }

    workload_metadata_config {
      mode = "GKE_METADATA"
    }

    shielded_instance_config {
      enable_secure_boot = true
    }
  }

  timeouts {
    create = "60m"
    update = "60m"
    delete = "60m"
  }
}
