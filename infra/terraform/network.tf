# A network of its own. Nodes have no address outside: they reach Google's services directly and
# the rest through one translated address.
resource "google_compute_network" "this" {
  name                    = "catgan"
  auto_create_subnetworks = false
  # Larger packets, for what workers send each other.
  mtu        = 8896
  depends_on = [google_project_service.used]
}

resource "google_compute_subnetwork" "this" {
  name                     = "catgan"
  network                  = google_compute_network.this.id
  region                   = var.region
  ip_cidr_range            = "10.64.0.0/20"
  private_ip_google_access = true

  secondary_ip_range {
    range_name    = "pods"
    ip_cidr_range = "10.68.0.0/14"
  }

  secondary_ip_range {
    range_name    = "services"
    ip_cidr_range = "10.72.0.0/20"
  }
}

resource "google_compute_router" "this" {
  name    = "catgan"
  network = google_compute_network.this.id
  region  = var.region
}

resource "google_compute_router_nat" "this" {
  name                               = "catgan"
  router                             = google_compute_router.this.name
  region                             = var.region
  nat_ip_allocate_option             = "AUTO_ONLY"
  source_subnetwork_ip_ranges_to_nat = "ALL_SUBNETWORKS_ALL_IP_RANGES"
}
