variable "project" {
  description = "Id of the Google Cloud project; it needs a billing account."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{4,28}[a-z0-9]$", var.project))
    error_message = "A project id has 6 to 30 characters of a-z, 0-9 and -, a letter first."
  }
}

variable "region" {
  description = "Where everything is: bucket, images, cluster. Reading across regions costs."
  type        = string
  default     = "us-central1"

  validation {
    condition     = can(regex("^[a-z]+-[a-z]+[0-9]+$", var.region))
    error_message = "A region is named like us-central1, without the letter of a zone."
  }
}

variable "gpu_zones" {
  description = "Letters of the zones of the region that have the GPUs; a pool takes what it finds."
  type        = set(string)
  default     = ["a", "b", "c"]

  validation {
    condition     = length(var.gpu_zones) > 0 && alltrue([for z in var.gpu_zones : can(regex("^[a-z]$", z))])
    error_message = "At least one zone, each named by its letter alone."
  }
}

variable "gpu_pools" {
  description = "Most nodes of each pool; a pool is GPU-PROVISIONING, as catgan names it. All start at none."
  type        = map(number)
  default = {
    "l4-spot"      = 8
    "l4-on-demand" = 8
  }

  validation {
    condition     = alltrue([for name in keys(var.gpu_pools) : can(regex("^(l4|t4|a100|h100)-(spot|on-demand|queued)$", name))])
    error_message = "A pool is l4, t4, a100 or h100, a dash, and spot, on-demand or queued."
  }

  validation {
    condition     = !contains(keys(var.gpu_pools), "h100-on-demand")
    error_message = "Google sells a machine with one H100 as spot or queued only."
  }

  validation {
    condition     = alltrue([for most in values(var.gpu_pools) : most >= 1 && most <= 1000 && floor(most) == most])
    error_message = "A pool has 1 to 1000 nodes at most."
  }
}

variable "spot_grace_seconds" {
  description = "From the notice that a spot node is taken back to its end, its own daemons included."
  type        = number
  default     = 120

  validation {
    condition     = var.spot_grace_seconds >= 30 && var.spot_grace_seconds <= 120
    error_message = "Between 30 and 120 seconds."
  }
}

variable "bucket" {
  description = "Name of the bucket for runs and data sets; empty: PROJECT-catgan."
  type        = string
  default     = ""

  validation {
    condition     = var.bucket == "" || can(regex("^[a-z0-9][a-z0-9_.-]{1,61}[a-z0-9]$", var.bucket))
    error_message = "A bucket's name has 3 to 63 characters of a-z, 0-9, -, _ and a dot."
  }
}

variable "undelete_days" {
  description = "How long what was deleted or overwritten in the bucket can be had back."
  type        = number
  default     = 7

  validation {
    condition     = var.undelete_days >= 7 && var.undelete_days <= 90
    error_message = "Between 7 and 90 days."
  }
}

variable "namespace" {
  description = "Kubernetes namespace of the jobs; the config's cluster.namespace."
  type        = string
  default     = "catgan"

  validation {
    condition     = can(regex("^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$", var.namespace))
    error_message = "At most 63 characters of a-z, 0-9 and -."
  }
}

variable "image_tag" {
  description = "Tag of the image that the output names."
  type        = string
  default     = "0.1.0"

  validation {
    condition     = can(regex("^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$", var.image_tag)) && var.image_tag != "latest"
    error_message = "A tag of letters, digits, dots, - and _; not latest, which means another image every day."
  }
}

variable "admin_ranges" {
  description = "Addresses that may reach the cluster's API server, and ssh where ray_up is on."
  type        = set(string)
  default     = []

  validation {
    condition     = alltrue([for r in var.admin_ranges : can(cidrhost(r, 0)) && r != "0.0.0.0/0"])
    error_message = "Ranges such as 203.0.113.7/32; not the whole internet."
  }
}

variable "deletion_protection" {
  description = "Whether `destroy` refuses to take the cluster away, and the bucket while it holds anything."
  type        = bool
  default     = true
}

variable "ray_up" {
  description = "Also what infra/gcp/cluster.yaml needs: an account for the head and firewall rules."
  type        = bool
  default     = false
}
