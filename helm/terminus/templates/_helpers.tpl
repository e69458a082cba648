{{- define "terminus.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{- /* Short enough for "-agents-NUMBER" behind it: an agent's name is its pod's, and value blocks carry it. */ -}}
{{- define "terminus.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else if contains (include "terminus.name" .) .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "terminus.name" .) | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "terminus.selector" -}}
app.kubernetes.io/name: {{ include "terminus.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "terminus.labels" -}}
{{ include "terminus.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/part-of: terminus
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "terminus.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "terminus.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "terminus.image" -}}
{{- printf "%s:%s" .image.repository (default .root.Chart.AppVersion .image.tag) -}}
{{- end -}}

{{- /* Several lock managers are one group. */ -}}
{{- define "terminus.isGroup" -}}
{{- if gt (int .Values.lockManager.replicas) 1 }}yes{{ end -}}
{{- end -}}

{{- /* The host name of a lock manager, by its pod's name. */ -}}
{{- define "terminus.lockManagerHost" -}}
{{- printf "%s.%s-lockmgr-pods.%s.svc.%s" .pod (include "terminus.fullname" .root) .root.Release.Namespace .root.Values.clusterDomain -}}
{{- end -}}

{{- /* Where clients find it. Of a group all are named: who leads is found by asking. */ -}}
{{- define "terminus.lockManager" -}}
{{- $full := include "terminus.fullname" . -}}
{{- if include "terminus.isGroup" . -}}
{{- $all := list -}}
{{- range $i := until (int .Values.lockManager.replicas) -}}
{{- $all = append $all (printf "%s:10811" (include "terminus.lockManagerHost" (dict "root" $ "pod" (printf "%s-lockmgr-%d" $full $i)))) -}}
{{- end -}}
{{- join "," $all -}}
{{- else -}}
{{- printf "%s-lockmgr.%s.svc.%s:10811" $full .Release.Namespace .Values.clusterDomain -}}
{{- end -}}
{{- end -}}

{{- /* The members of the group at its first start, each by its pod's name. */ -}}
{{- define "terminus.members" -}}
{{- $full := include "terminus.fullname" . -}}
{{- $all := list -}}
{{- range $i := until (int .Values.lockManager.replicas) -}}
{{- $pod := printf "%s-lockmgr-%d" $full $i -}}
{{- $host := include "terminus.lockManagerHost" (dict "root" $ "pod" $pod) -}}
{{- $all = append $all (printf "%s=%s:10821/%s:10811" $pod $host $host) -}}
{{- end -}}
{{- join "," $all -}}
{{- end -}}

{{- /* The host name of an agent, by its pod's name. */ -}}
{{- define "terminus.agentHost" -}}
{{- printf "%s.%s-agents.%s.svc.%s" .pod (include "terminus.fullname" .root) .root.Release.Namespace .root.Values.clusterDomain -}}
{{- end -}}

{{- define "terminus.tlsSecret" -}}
{{- if .Values.nbd.tls.certManager.enabled -}}
{{- printf "%s-nbd-tls" (include "terminus.fullname" .) -}}
{{- else -}}
{{- required "nbd.tls.existingSecret is needed when nbd.tls is enabled without cert-manager" .Values.nbd.tls.existingSecret -}}
{{- end -}}
{{- end -}}

{{- /* The secret with somebody's keys for all ports; who: lockManager, tools, toolbox, monitoring, or agents, of which it is the prefix. */ -}}
{{- define "terminus.keys" -}}
{{- if .root.Values.tls.certManager.enabled -}}
{{- printf "%s-%s-tls" (include "terminus.fullname" .root) (lower .who) -}}
{{- else -}}
{{- required (printf "tls.existingSecrets.%s is needed when tls is enabled without cert-manager" .who) (get .root.Values.tls.existingSecrets .who) -}}
{{- end -}}
{{- end -}}

{{- /* Keys for all ports of a service, from a directory; prefix is that of its settings. */ -}}
{{- define "terminus.keyArguments" -}}
- --{{ .prefix }}.tls.cert={{ .directory }}/tls.crt
- --{{ .prefix }}.tls.key={{ .directory }}/tls.key
- --{{ .prefix }}.tls.ca={{ .directory }}/ca.crt
{{- end -}}

{{- define "terminus.issuer" -}}
{{- required "tls.certManager.issuerRef.name is needed with cert-manager" .Values.tls.certManager.issuerRef.name -}}
{{- end -}}

{{- /* Settings as arguments: what a value holds is not looked at by a shell. */ -}}
{{- define "terminus.settings" -}}
{{- $prefix := .prefix -}}
{{- range $key, $value := .settings }}
- {{ printf "--%s.%s=%v" $prefix $key $value | quote }}
{{- end -}}
{{- end -}}

{{- /*
Ready: may serve (an agent: has a session with the lock manager, and no replica of it has failed; a lock manager of a group: belongs to
it, and knows who leads). Live: not stuck; asks nobody else, so that a lock manager that is down does not have its agents killed, and a
group without a leader not its members. A start may take as long as what is to be replayed. Health asks for no certificate.
*/ -}}
{{- define "terminus.probes" -}}
startupProbe:
  httpGet: {path: /actuator/health/liveness, port: rest{{ if .Values.tls.enabled }}, scheme: HTTPS{{ end }}}
  periodSeconds: 2
  timeoutSeconds: 2
  failureThreshold: 300
readinessProbe:
  httpGet: {path: /actuator/health/readiness, port: rest{{ if .Values.tls.enabled }}, scheme: HTTPS{{ end }}}
  periodSeconds: 5
  timeoutSeconds: 3
  failureThreshold: 2
livenessProbe:
  httpGet: {path: /actuator/health/liveness, port: rest{{ if .Values.tls.enabled }}, scheme: HTTPS{{ end }}}
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 6
{{- end -}}

{{- define "terminus.placement" -}}
{{- with .nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- end -}}

{{- /* Pods of a component apart from each other: values are its own, component its label. */ -}}
{{- define "terminus.apart" -}}
{{- $pods := printf "%s\napp.kubernetes.io/component: %s" (include "terminus.selector" .root) .component -}}
{{- if .values.affinity }}
affinity: {{- toYaml .values.affinity | nindent 2 }}
{{- else if eq .values.antiAffinity "required" }}
affinity:
  podAntiAffinity:
    requiredDuringSchedulingIgnoredDuringExecution:
      - topologyKey: kubernetes.io/hostname
        labelSelector:
          matchLabels: {{- $pods | nindent 12 }}
{{- else if eq .values.antiAffinity "preferred" }}
affinity:
  podAntiAffinity:
    preferredDuringSchedulingIgnoredDuringExecution:
      - weight: 100
        podAffinityTerm:
          topologyKey: kubernetes.io/hostname
          labelSelector:
            matchLabels: {{- $pods | nindent 14 }}
{{- end }}
{{- with .values.topologyKey }}
topologySpreadConstraints:
  - topologyKey: {{ . }}
    maxSkew: 1
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels: {{- $pods | nindent 8 }}
{{- end }}
{{- end -}}

{{- define "terminus.claim" -}}
- metadata:
    name: data
  spec:
    accessModes: {{ toYaml .accessModes | nindent 6 }}
    {{- with .storageClassName }}
    storageClassName: {{ . }}
    {{- end }}
    resources:
      requests:
        storage: {{ .size }}
{{- end -}}


{{- /* Asked for as OpenTelemetry's programs are. */ -}}
{{- define "terminus.tracingEnv" -}}
{{- if .Values.tracing.enabled -}}
- {name: OTEL_TRACES_EXPORTER, value: otlp}
- {name: OTEL_EXPORTER_OTLP_ENDPOINT, value: {{ required "tracing.endpoint is needed when tracing is enabled" .Values.tracing.endpoint | quote }}}
- {name: OTEL_TRACES_SAMPLER_ARG, value: {{ .Values.tracing.share | toString | quote }}}
{{- end -}}
{{- end -}}

{{- /* What the pods that run the tools image have in common. */ -}}
{{- define "terminus.toolsPod" -}}
serviceAccountName: {{ include "terminus.serviceAccount" . }}
automountServiceAccountToken: false
enableServiceLinks: false
{{- with .Values.imagePullSecrets }}
imagePullSecrets: {{- toYaml . | nindent 2 }}
{{- end }}
securityContext: {{- toYaml .Values.podSecurityContext | nindent 2 }}
{{- end -}}

{{- define "terminus.toolsContainer" -}}
image: {{ include "terminus.image" (dict "root" . "image" .Values.tools.image) }}
imagePullPolicy: {{ .Values.tools.image.pullPolicy }}
resources: {{- toYaml .Values.tools.resources | nindent 2 }}
securityContext: {{- toYaml .Values.securityContext | nindent 2 }}
{{- end -}}

{{- /* Who the tools are, under TLS. */ -}}
{{- define "terminus.toolsEnv" -}}
- {name: TERMINUS_TLS_CERT, value: /etc/terminus/tls/tls.crt}
- {name: TERMINUS_TLS_KEY, value: /etc/terminus/tls/tls.key}
- {name: TERMINUS_TLS_CA, value: /etc/terminus/tls/ca.crt}
{{- end -}}

{{- /* Of the tools, or of the toolbox. */ -}}
{{- define "terminus.toolsKeys" -}}
- name: tls
  secret:
    secretName: {{ include "terminus.keys" . }}
    defaultMode: 0440
{{- end -}}

{{- /* Who reaches REST for its metrics: with keys anybody may come, for certificates decide; without, only who is named. */ -}}
{{- define "terminus.monitoring" -}}
{{- if or .Values.networkPolicy.monitoring (not .Values.tls.enabled) -}}
{{- toYaml .Values.networkPolicy.monitoring -}}
{{- else -}}
- namespaceSelector: {}
{{- end -}}
{{- end -}}
