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

{{- define "terminus.lockManager" -}}
{{- printf "%s-lockmgr.%s.svc.%s:10811" (include "terminus.fullname" .) .Release.Namespace .Values.clusterDomain -}}
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

{{- /* Settings as arguments: what a value holds is not looked at by a shell. */ -}}
{{- define "terminus.settings" -}}
{{- $prefix := .prefix -}}
{{- range $key, $value := .settings }}
- {{ printf "--%s.%s=%v" $prefix $key $value | quote }}
{{- end -}}
{{- end -}}

{{- /*
Ready: may serve (an agent: has a session with the lock manager, and no replica of it has failed). Live: not stuck; asks nobody else, so
that a lock manager that is down does not have its agents killed. A start may take as long as what is to be replayed.
*/ -}}
{{- define "terminus.probes" -}}
startupProbe:
  httpGet: {path: /actuator/health/liveness, port: rest}
  periodSeconds: 2
  timeoutSeconds: 2
  failureThreshold: 300
readinessProbe:
  httpGet: {path: /actuator/health/readiness, port: rest}
  periodSeconds: 5
  timeoutSeconds: 3
  failureThreshold: 2
livenessProbe:
  httpGet: {path: /actuator/health/liveness, port: rest}
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
