{{- define "spectrum.name" -}}
{{- if contains .Chart.Name .Release.Name }}{{ .Release.Name | trunc 40 | trimSuffix "-" }}{{ else }}{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 40 | trimSuffix "-" }}{{ end -}}
{{- end }}

{{/* What selects pods, without their part. */}}
{{- define "spectrum.selector" -}}
app.kubernetes.io/name: spectrum-webhook
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "spectrum.labels" -}}
{{ include "spectrum.selector" . }}
app.kubernetes.io/part-of: spectrum-webhook
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{/* The seconds of SPECTRUM_GRACE, the sleep before the stop, 15 s for the last writes, and some more. */}}
{{- define "spectrum.termination" -}}
{{- $grace := .Values.settings.SPECTRUM_GRACE | default "30s" | toString -}}
{{- if not (regexMatch "^[0-9]+s$" $grace) }}{{ fail "settings.SPECTRUM_GRACE: whole seconds, like 30s, so that the chart can let pods end in time" }}{{ end -}}
{{- add (trimSuffix "s" $grace | int) 30 -}}
{{- end }}

{{- define "spectrum.partitions" -}}
{{- .Values.settings.SPECTRUM_PARTITIONS | default "64" | toString -}}
{{- end }}

{{/* The part of a pod that all have in common; `part` is ingest, dispatcher or migrate. */}}
{{- define "spectrum.pod" -}}
automountServiceAccountToken: false
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  runAsUser: 65532
  runAsGroup: 65532
  fsGroup: 65532
  seccompProfile: {type: RuntimeDefault}
{{- with .root.Values.image.pullSecrets }}
imagePullSecrets: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .root.Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .root.Values.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .root.Values.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .root.Values.extraVolumes }}
volumes: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* The part of a container that all have in common. The settings stand in it, so that a change restarts it. */}}
{{- define "spectrum.container" -}}
{{- $values := .root.Values -}}
name: {{ .part }}
{{- if $values.image.digest }}
image: {{ printf "%s@%s" $values.image.repository $values.image.digest }}
{{- else }}
image: {{ printf "%s:%s" $values.image.repository ($values.image.tag | default .root.Chart.AppVersion) }}
{{- end }}
imagePullPolicy: {{ $values.image.pullPolicy }}
args: [{{ .part }}]
env:
  {{- range $name, $value := $values.settings }}
  - {name: {{ $name }}, value: {{ $value | toString | quote }}}
  {{- end }}
  {{- range $name, $key := dict "SPECTRUM_DATABASE_URL" "database-url" "SPECTRUM_AMQP_URL" "amqp-url" "SPECTRUM_REDIS_URL" "redis-url" "SPECTRUM_MASTER_KEY" "master-key" }}
  - name: {{ $name }}
    valueFrom: {secretKeyRef: {name: {{ $values.secret }}, key: {{ $key }}}}
  {{- end }}
  - name: SPECTRUM_MASTER_KEY_OTHERS
    valueFrom: {secretKeyRef: {name: {{ $values.secret }}, key: master-key-others, optional: true}}
  {{- if eq .part "ingest" }}
  - name: SPECTRUM_OPERATOR_TOKEN
    valueFrom: {secretKeyRef: {name: {{ $values.secret }}, key: operator-token, optional: true}}
  {{- end }}
  {{- with $values.extraEnv }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
{{- with $values.extraVolumeMounts }}
volumeMounts: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* A Deployment's pods and their disruption budget; `part` is ingest or dispatcher. */}}
{{- define "spectrum.deployment" -}}
{{- $name := printf "%s-%s" (include "spectrum.name" .root) .part -}}
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ $name }}
  labels:
    {{- include "spectrum.labels" .root | nindent 4 }}
    app.kubernetes.io/component: {{ .part }}
spec:
  {{- if not .scaled }}
  replicas: {{ .values.replicas }}
  {{- end }}
  revisionHistoryLimit: 5
  strategy:
    rollingUpdate: {maxSurge: 1, maxUnavailable: 0}
  selector:
    matchLabels:
      {{- include "spectrum.selector" .root | nindent 6 }}
      app.kubernetes.io/component: {{ .part }}
  template:
    metadata:
      labels:
        {{- with .root.Values.podLabels }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
        {{- include "spectrum.labels" .root | nindent 8 }}
        app.kubernetes.io/component: {{ .part }}
      {{- with .root.Values.podAnnotations }}
      annotations: {{- toYaml . | nindent 8 }}
      {{- end }}
    spec:
      serviceAccountName: {{ include "spectrum.name" .root }}
      terminationGracePeriodSeconds: {{ include "spectrum.termination" .root }}
      {{- include "spectrum.pod" . | nindent 6 }}
      topologySpreadConstraints:
        {{- range $key, $strict := dict "topology.kubernetes.io/zone" .root.Values.zones "kubernetes.io/hostname" "ScheduleAnyway" }}
        - maxSkew: 1
          topologyKey: {{ $key }}
          whenUnsatisfiable: {{ $strict }}
          labelSelector:
            matchLabels:
              {{- include "spectrum.selector" $.root | nindent 14 }}
              app.kubernetes.io/component: {{ $.part }}
        {{- end }}
      containers:
        - {{- include "spectrum.container" . | nindent 10 }}
          ports:
            {{- if eq .part "ingest" }}
            - {name: api, containerPort: {{ include "spectrum.port" .root.Values.settings.SPECTRUM_API_LISTEN }}}
            {{- end }}
            - {name: ops, containerPort: {{ include "spectrum.port" .root.Values.settings.SPECTRUM_OPS_LISTEN }}}
          startupProbe:
            httpGet: {path: /healthz, port: ops}
            periodSeconds: 2
            failureThreshold: 30
          livenessProbe:
            httpGet: {path: /healthz, port: ops}
            periodSeconds: 10
            timeoutSeconds: 5
            failureThreshold: 3
          readinessProbe:
            httpGet: {path: /readyz, port: ops}
            periodSeconds: 5
            timeoutSeconds: 5
            failureThreshold: 2
          {{- if eq .part "ingest" }}
          lifecycle:
            preStop:
              sleep: {seconds: 5}
          {{- end }}
          resources: {{- toYaml .values.resources | nindent 12 }}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  name: {{ $name }}
  labels:
    {{- include "spectrum.labels" .root | nindent 4 }}
    app.kubernetes.io/component: {{ .part }}
spec:
  maxUnavailable: 1
  unhealthyPodEvictionPolicy: AlwaysAllow
  selector:
    matchLabels:
      {{- include "spectrum.selector" .root | nindent 6 }}
      app.kubernetes.io/component: {{ .part }}
{{- end }}

{{- define "spectrum.port" -}}
{{- regexFind "[0-9]+$" (. | toString) -}}
{{- end }}
