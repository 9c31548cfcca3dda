#!/usr/bin/env bash
# Makes prometheusrule.yaml, the alerts as an object for the Kubernetes operator of Prometheus, of alerts.yaml.
# `--runbooks URL` first sets where the runbooks are read, in both.
set -euo pipefail
cd "$(dirname "$0")"

if [[ "${1:-}" == --runbooks && -n "${2:-}" ]]; then
    sed --in-place "s|runbook_url: [^#]*#|runbook_url: ${2//|/%7C}#|" alerts.yaml
elif (($#)); then
    echo "usage: render.sh [--runbooks URL]" >&2
    exit 2
fi
{
    cat << 'HEAD'
# Made by render.sh of alerts.yaml.
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: spectrum-webhook
  labels:
    app.kubernetes.io/name: spectrum-webhook
spec:
HEAD
    grep --invert-match '^#' alerts.yaml | sed 's/^./  &/'
} > prometheusrule.yaml
