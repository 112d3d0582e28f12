# A trail of all regions, its bucket, a queue that announces its files, and a role by which Trailhook reads them.
# Every action the role allows is one that `trailhook source test --policy` asks for.

terraform {
  required_version = ">= 1.5"
  required_providers {
    aws = { source = "hashicorp/aws", version = ">= 5.0" }
  }
}

variable "name" {
  type        = string
  description = "Name of the trail and prefix of the rest."
  default     = "trailhook"
}

variable "trailhook_principal" {
  type        = string
  description = "ARN of who assumes the role, the user or role that Trailhook runs as."
}

variable "external_id" {
  type        = string
  description = "Goes into the source as credentials.externalId."
  sensitive   = true
}

variable "keep_days" {
  type        = number
  description = "How long the bucket keeps the files. Trailhook asks for files of the last 30 days again."
  default     = 365

  validation {
    condition     = var.keep_days > 30
    error_message = "Keep files for more than the 30 days in which AWS may deliver them again."
  }
}

data "aws_caller_identity" "here" {}
data "aws_partition" "here" {}
data "aws_region" "here" {}

locals {
  account   = data.aws_caller_identity.here.account_id
  trail_arn = "arn:${data.aws_partition.here.partition}:cloudtrail:${data.aws_region.here.name}:${local.account}:trail/${var.name}"
}

resource "aws_s3_bucket" "trail" {
  bucket_prefix = "${var.name}-"
}

resource "aws_s3_bucket_public_access_block" "trail" {
  bucket                  = aws_s3_bucket.trail.id
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_lifecycle_configuration" "trail" {
  bucket = aws_s3_bucket.trail.id
  rule {
    id     = "expire"
    status = "Enabled"
    filter {}
    expiration {
      days = var.keep_days
    }
  }
}

resource "aws_s3_bucket_policy" "trail" {
  bucket = aws_s3_bucket.trail.id
  policy = data.aws_iam_policy_document.bucket.json
}

data "aws_iam_policy_document" "bucket" {
  statement {
    sid       = "CloudTrailLooksAtTheBucket"
    actions   = ["s3:GetBucketAcl"]
    resources = [aws_s3_bucket.trail.arn]
    principals {
      type        = "Service"
      identifiers = ["cloudtrail.amazonaws.com"]
    }
    condition {
      test     = "StringEquals"
      variable = "aws:SourceArn"
      values   = [local.trail_arn]
    }
  }
  statement {
    sid       = "CloudTrailWritesFiles"
    actions   = ["s3:PutObject"]
    resources = ["${aws_s3_bucket.trail.arn}/AWSLogs/${local.account}/*"]
    principals {
      type        = "Service"
      identifiers = ["cloudtrail.amazonaws.com"]
    }
    condition {
      test     = "StringEquals"
      variable = "aws:SourceArn"
      values   = [local.trail_arn]
    }
  }
  statement {
    sid       = "NobodyWithoutTls"
    effect    = "Deny"
    actions   = ["s3:*"]
    resources = [aws_s3_bucket.trail.arn, "${aws_s3_bucket.trail.arn}/*"]
    principals {
      type        = "*"
      identifiers = ["*"]
    }
    condition {
      test     = "Bool"
      variable = "aws:SecureTransport"
      values   = ["false"]
    }
  }
}

resource "aws_sqs_queue" "trail" {
  name_prefix               = "${var.name}-"
  message_retention_seconds = 1209600 # 14 days, the most there is: Trailhook may be away
  sqs_managed_sse_enabled   = true
}

resource "aws_sqs_queue_policy" "trail" {
  queue_url = aws_sqs_queue.trail.id
  policy    = data.aws_iam_policy_document.queue.json
}

data "aws_iam_policy_document" "queue" {
  statement {
    sid       = "TheBucketAnnouncesFiles"
    actions   = ["sqs:SendMessage"]
    resources = [aws_sqs_queue.trail.arn]
    principals {
      type        = "Service"
      identifiers = ["s3.amazonaws.com"]
    }
    condition {
      test     = "ArnEquals"
      variable = "aws:SourceArn"
      values   = [aws_s3_bucket.trail.arn]
    }
  }
}

resource "aws_s3_bucket_notification" "trail" {
  bucket = aws_s3_bucket.trail.id
  queue {
    queue_arn     = aws_sqs_queue.trail.arn
    events        = ["s3:ObjectCreated:*"]
    filter_prefix = "AWSLogs/"
  }
  depends_on = [aws_sqs_queue_policy.trail]
}

resource "aws_cloudtrail" "trail" {
  name                          = var.name
  s3_bucket_name                = aws_s3_bucket.trail.id
  is_multi_region_trail         = true
  include_global_service_events = true
  enable_log_file_validation    = true # the digests by which `trailhook verify` proves that nothing is missing
  depends_on                    = [aws_s3_bucket_policy.trail]
}

resource "aws_iam_role" "trailhook" {
  name_prefix        = "${var.name}-"
  assume_role_policy = data.aws_iam_policy_document.assume.json
}

data "aws_iam_policy_document" "assume" {
  statement {
    actions = ["sts:AssumeRole"]
    principals {
      type        = "AWS"
      identifiers = [var.trailhook_principal]
    }
    condition {
      test     = "StringEquals"
      variable = "sts:ExternalId"
      values   = [var.external_id]
    }
  }
}

resource "aws_iam_role_policy" "trailhook" {
  name   = "read-the-trail"
  role   = aws_iam_role.trailhook.id
  policy = data.aws_iam_policy_document.read.json
}

data "aws_iam_policy_document" "read" {
  statement {
    sid       = "FindLogFiles"
    actions   = ["s3:ListBucket"]
    resources = [aws_s3_bucket.trail.arn]
  }
  statement {
    sid       = "ReadLogFiles"
    actions   = ["s3:GetObject"]
    resources = ["${aws_s3_bucket.trail.arn}/AWSLogs/*"]
  }
  statement {
    sid       = "TakeNotifications"
    actions   = ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:ChangeMessageVisibility"]
    resources = [aws_sqs_queue.trail.arn]
  }
  statement {
    sid       = "CheckWhatDigestsAreSignedWith"
    actions   = ["cloudtrail:ListPublicKeys"]
    resources = ["*"]
  }
  statement {
    sid       = "TellWhyNothingComes"
    actions   = ["cloudtrail:DescribeTrails", "cloudtrail:GetTrailStatus"]
    resources = ["*"]
  }
}

output "source" {
  description = "What goes into the source; credentials.externalId is the one that was given."
  value = {
    credentials = { region = data.aws_region.here.name, roleArn = aws_iam_role.trailhook.arn }
    s3Bucket    = aws_s3_bucket.trail.id
    s3Prefix    = "AWSLogs/${local.account}/"
    sqsQueueUrl = aws_sqs_queue.trail.url
  }
}
