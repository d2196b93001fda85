{{/* Names, labels, and what is computed from the gateway's configuration. */}}

{{- define "landfall.name" -}}
{{- .Values.nameOverride | default .Chart.Name | trunc 52 | trimSuffix "-" -}}
{{- end -}}

{{/* At most 52 characters: the StatefulSet's controller adds a hash of 11 to it and makes a label of that. */}}
{{- define "landfall.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" -}}
{{- else if contains (include "landfall.name" .) .Release.Name -}}
{{- .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "landfall.name" .) | trunc 52 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "landfall.serviceAccountName" -}}
{{- .Values.serviceAccount.name | default (ternary (include "landfall.fullname" .) "default" .Values.serviceAccount.create) -}}
{{- end -}}

{{/* Never changed by an upgrade: selectors and claims hold them. */}}
{{- define "landfall.selectorLabels" -}}
app.kubernetes.io/name: {{ include "landfall.name" . | quote }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end -}}

{{/* Of every object but pods, claims and the test. */}}
{{- define "landfall.labels" -}}
{{- $own := dict "helm.sh/chart" (printf "%s-%s" .Chart.Name (.Chart.Version | replace "+" "_") | trunc 63 | trimSuffix "-") "app.kubernetes.io/version" (.Chart.AppVersion | replace "+" "_") "app.kubernetes.io/managed-by" .Release.Service -}}
{{- merge (include "landfall.selectorLabels" . | fromYaml) $own .Values.commonLabels | toYaml -}}
{{- end -}}

{{/* No version is in them: an upgrade that changes nothing of the pods replaces none. */}}
{{- define "landfall.podLabels" -}}
{{- merge (include "landfall.selectorLabels" . | fromYaml) .Values.podLabels .Values.commonLabels | toYaml -}}
{{- end -}}

{{/* Of the pods of the parse role, all of them: no gateway has this name. */}}
{{- define "landfall.parseLabels" -}}
app.kubernetes.io/name: "{{ include "landfall.name" . }}-parse"
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end -}}

{{/* Of the pods of one pool, and never changed: (dict "root" $ "pool" …). */}}
{{- define "landfall.poolLabels" -}}
{{ include "landfall.parseLabels" .root }}
app.kubernetes.io/component: {{ .pool | quote }}
{{- end -}}

{{/* The name of a pool's objects, at most 63 characters: (dict "root" $ "pool" …). */}}
{{- define "landfall.poolName" -}}
{{- $rest := printf "-parse-%s" .pool -}}
{{- printf "%s%s" (include "landfall.fullname" .root | trunc (int (sub 63 (len $rest))) | trimSuffix "-") $rest -}}
{{- end -}}

{{/* The metadata of an object: (dict "root" $ "name" … "labels" … "annotations" …). */}}
{{- define "landfall.metadata" -}}
name: {{ .name | quote }}
namespace: {{ .root.Release.Namespace | quote }}
labels:
  {{- merge (include "landfall.labels" .root | fromYaml) (.labels | default dict) | toYaml | nindent 2 }}
{{- with merge dict (.annotations | default dict) .root.Values.commonAnnotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "landfall.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}
{{ .repository }}@{{ .digest }}
{{- else -}}
{{ .repository }}:{{ .tag | default $.Chart.AppVersion }}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* A length of time such as "1m 30s", in milliseconds. */}}
{{- define "landfall.milliseconds" -}}
{{- $units := dict "ms" 1 "s" 1000 "m" 60000 "h" 3600000 "d" 86400000 -}}
{{- $sum := 0 -}}
{{- range regexFindAll "[0-9]+ *[a-z]+" (. | toString) -1 -}}
{{- $sum = add $sum (mul (regexFind "[0-9]+" . | int64) (get $units (regexFind "[a-z]+" .) | int64)) -}}
{{- end -}}
{{- $sum -}}
{{- end -}}

{{/* Seconds that a drain may take: pause, deadline, and 5 s for the goodbyes. */}}
{{- define "landfall.drainSeconds" -}}
{{- $drain := .Values.config.drain | default dict -}}
{{- $pause := include "landfall.milliseconds" (get $drain "pause" | default "5s") | int64 -}}
{{- $deadline := include "landfall.milliseconds" (get $drain "deadline" | default "25s") | int64 -}}
{{- add 5 (div (add $pause $deadline 999) 1000) -}}
{{- end -}}

{{/* Seconds that a pool may take to end: what was begun lands, it leaves its group, and the process ends. */}}
{{- define "landfall.parseDrainSeconds" -}}
{{- $drain := .Values.config.drain | default dict -}}
{{- $deadline := include "landfall.milliseconds" (get $drain "deadline" | default "25s") | int64 -}}
{{- add 15 (div (add $deadline 999) 1000) -}}
{{- end -}}

{{- define "landfall.adminBind" -}}
{{- (.Values.config.admin | default dict).bind | default "127.0.0.1:8080" -}}
{{- end -}}

{{/* Where the port for probes is; empty without one. */}}
{{- define "landfall.probesBind" -}}
{{- ((.Values.config.admin | default dict).probes | default dict).bind | default "" -}}
{{- end -}}

{{/* The name of the port that probes ask: one of its own, or else the admin port. */}}
{{- define "landfall.probesPort" -}}
{{- ternary "probes" "admin" (not (empty (include "landfall.probesBind" .))) -}}
{{- end -}}

{{/* The name of the port with /metrics for those who have no token. */}}
{{- define "landfall.metricsPort" -}}
{{- $probes := (.Values.config.admin | default dict).probes | default dict -}}
{{- ternary "probes" "admin" (and (not (empty $probes.bind)) (not (empty $probes.metrics))) -}}
{{- end -}}

{{/* The ports beside the listeners', as a JSON list of name and port. */}}
{{- define "landfall.adminPorts" -}}
{{- $ports := list (dict "name" "admin" "port" (include "landfall.port" (include "landfall.adminBind" .) | int)) -}}
{{- with include "landfall.probesBind" . -}}
{{- $ports = append $ports (dict "name" "probes" "port" (include "landfall.port" . | int)) -}}
{{- end -}}
{{- $ports | toJson -}}
{{- end -}}

{{- define "landfall.port" -}}
{{- regexFind "[0-9]+$" (. | toString) -}}
{{- end -}}

{{/* A listener that only its own pod can reach: on loopback, or a socket in the file system. */}}
{{- define "landfall.isLocal" -}}
{{- if regexMatch "^(127\\.|\\[::1\\]|unix:)" .bind -}}true{{- end -}}
{{- end -}}

{{/* The listeners that can be reached from outside their pod, as a JSON list of name and port. */}}
{{- define "landfall.listeners" -}}
{{- $listeners := list -}}
{{- range .Values.config.listeners -}}
{{- if not (include "landfall.isLocal" .) -}}
{{- $listeners = append $listeners (dict "name" .name "port" (include "landfall.port" .bind | int)) -}}
{{- end -}}
{{- end -}}
{{- $listeners | toJson -}}
{{- end -}}

{{/* The port at which devices find a listener: (dict "root" $ "listener" …). */}}
{{- define "landfall.servicePort" -}}
{{- get .root.Values.service.ports .listener.name | default .listener.port | int -}}
{{- end -}}

{{/* The gateway's configuration file. How messages become events is none of its: another parser replaces no gateway. */}}
{{- define "landfall.config" -}}
{{- omit .Values.config "parse" | toYaml -}}
{{- end -}}

{{/* That of the parse role, without what only gateways look at: who may connect is none of its, and neither are the keys for it. */}}
{{- define "landfall.parseConfig" -}}
{{- omit .Values.config "listeners" "authentication" "client_id" "access" "access_file" "audit" "unrouted" "rules" "slow_over_size" "slow_after" | toYaml -}}
{{- end -}}

{{/* The pools that the parse role has a Deployment for, as a JSON list of names: those of the configuration, and the metadata stream's. */}}
{{- define "landfall.pools" -}}
{{- $parse := .Values.config.parse | default dict -}}
{{- $pools := keys ($parse.pools | default (dict "fast" dict "slow" dict)) | sortAlpha -}}
{{- if ne (toString ($parse.metadata | default dict).enabled) "false" -}}
{{- $pools = append $pools "metadata" -}}
{{- end -}}
{{- $pools | toJson -}}
{{- end -}}

{{/* What the values say of a pool's Deployment, over what they say of all: (dict "root" $ "pool" …); a JSON object. */}}
{{- define "landfall.pool" -}}
{{- $pool := deepCopy (get .root.Values.parse.pools .pool | default dict) -}}
{{- range $key := list "replicas" "resources" "nodeSelector" "tolerations" "affinity" -}}
{{- if not (hasKey $pool $key) -}}
{{- $_ := set $pool $key (get (hasKey $.root.Values.parse $key | ternary $.root.Values.parse $.root.Values) $key) -}}
{{- end -}}
{{- end -}}
{{- range $key := list "autoscaling" "keda" -}}
{{- $_ := set $pool $key (merge dict (get $pool $key | default dict) (get $.root.Values.parse $key)) -}}
{{- end -}}
{{- $pool | toJson -}}
{{- end -}}

{{/* The consumer group of a pool: (dict "root" $ "pool" …). */}}
{{- define "landfall.poolGroup" -}}
{{- $parse := .root.Values.config.parse | default dict -}}
{{- if eq .pool "metadata" -}}
{{- ($parse.metadata | default dict).group | default "landfall-metadata" -}}
{{- else -}}
{{- (get ($parse.pools | default dict) .pool | default dict).group | default (printf "landfall-parse-%s" .pool) -}}
{{- end -}}
{{- end -}}

{{/*
Mounts of everything that reads the configuration: the gateway, and `verify` in the test. Whole folders, never a file
of one (subPath): Kubernetes swaps a folder when its Secret or ConfigMap changes, and the gateway then reads it anew.
*/}}
{{- define "landfall.mounts" -}}
- name: config
  mountPath: /etc/landfall/config
  readOnly: true
{{- range $name, $_ := .Values.secrets }}
- name: secret-{{ $name }}
  mountPath: /etc/landfall/secrets/{{ $name }}
  readOnly: true
{{- end }}
{{- range $name, $_ := .Values.configMaps }}
- name: config-map-{{ $name }}
  mountPath: /etc/landfall/config-maps/{{ $name }}
  readOnly: true
{{- end }}
{{- range $name, $_ := .Values.certificates }}
- name: certificate-{{ $name }}
  mountPath: /etc/landfall/certificates/{{ $name }}
  readOnly: true
{{- end }}
{{- with .Values.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "landfall.volumes" -}}
- name: config
  configMap:
    name: {{ .configMap | default (include "landfall.fullname" .) }}
{{- range $name, $secret := .Values.secrets }}
- name: secret-{{ $name }}
  secret:
    secretName: {{ $secret.secretName | quote }}
    defaultMode: 0440
    {{- with $secret.items }}
    items:
      {{- toYaml . | nindent 6 }}
    {{- end }}
{{- end }}
{{- range $name, $configMap := .Values.configMaps }}
- name: config-map-{{ $name }}
  configMap:
    name: {{ $configMap.configMapName | quote }}
    {{- with $configMap.items }}
    items:
      {{- toYaml . | nindent 6 }}
    {{- end }}
{{- end }}
{{- range $name, $spec := .Values.certificates }}
- name: certificate-{{ $name }}
  secret:
    secretName: {{ include "landfall.certificateSecret" (dict "root" $ "name" $name "spec" $spec) | quote }}
    defaultMode: 0440
{{- end }}
{{- with .Values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* The Secret that cert-manager puts a certificate into: (dict "root" $ "name" … "spec" …). */}}
{{- define "landfall.certificateSecret" -}}
{{- .spec.secretName | default (printf "%s-%s-certificate" (include "landfall.fullname" .root) .name) -}}
{{- end -}}

{{/* What every pod of the release says about where and as whom it runs. */}}
{{- define "landfall.podSettings" -}}
serviceAccountName: {{ include "landfall.serviceAccountName" . | quote }}
automountServiceAccountToken: false
enableServiceLinks: false
securityContext:
  {{- toYaml .Values.podSecurityContext | nindent 2 }}
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.priorityClassName }}
priorityClassName: {{ . | quote }}
{{- end }}
{{- with .Values.runtimeClassName }}
runtimeClassName: {{ . | quote }}
{{- end }}
{{- end -}}

{{- define "landfall.testLabels" -}}
app.kubernetes.io/name: "{{ include "landfall.name" . }}-test"
app.kubernetes.io/instance: {{ .Release.Name | quote }}
app.kubernetes.io/component: test
{{- end -}}

{{- define "landfall.testContainer" -}}
securityContext:
  {{- toYaml .Values.securityContext | nindent 2 }}
{{- with .Values.test.resources }}
resources:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* The listener that the test's devices come to, as the configuration has it. */}}
{{- define "landfall.testListener" -}}
{{- $found := dict -}}
{{- range .Values.config.listeners -}}
{{- if and (not $found) (not (include "landfall.isLocal" .)) (ternary (eq .name $.Values.test.listener) (not .proxy_protocol) (ne $.Values.test.listener "")) -}}
{{- $found = . -}}
{{- end -}}
{{- end -}}
{{- range .Values.config.listeners -}}
{{- if and (not $found) (not $.Values.test.listener) (not (include "landfall.isLocal" .)) -}}
{{- $found = . -}}
{{- end -}}
{{- end -}}
{{- $found | toJson -}}
{{- end -}}

{{/* The listener that the notes show the way into: one that whoever forwards a port can talk to, if there is one. */}}
{{- define "landfall.triedListener" -}}
{{- $found := dict -}}
{{- range .Values.config.listeners -}}
{{- if not (or $found (include "landfall.isLocal" .) .proxy_protocol (hasKey . "websocket")) -}}
{{- $found = . -}}
{{- end -}}
{{- end -}}
{{- ternary (toJson $found) (include "landfall.testListener" .) (not (empty $found)) -}}
{{- end -}}

{{/* What cert-manager was asked for a listener: (dict "root" $ "listener" …); a JSON object of name and spec, or nothing. */}}
{{- define "landfall.serverCertificate" -}}
{{- $files := (.listener.tls | default dict).certificates | default (list dict) -}}
{{- $path := (first $files).certificate | default "" -}}
{{- $certificates := .root.Values.certificates -}}
{{- with regexFind "^/etc/landfall/certificates/[^/]+" $path | base -}}
{{- if hasKey $certificates . -}}
{{- dict "name" . "spec" (get $certificates .) | toJson -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* How mosquitto_pub gets into a listener as the device m-1, with what its first way of authentication asks for: (dict "root" $ "listener" …). */}}
{{- define "landfall.wayIn" -}}
{{- $first := first (.listener.authenticate | default (list "")) -}}
{{- $ways := list $first -}}
{{- if kindIs "map" $first }}{{ $ways = $first.all | default list }}{{ end -}}
{{- $tls := .listener.tls | default dict -}}
{{- if $tls }} --cafile ca.crt --insecure{{ end -}}
{{- if or (has "certificate" $ways) (and $tls.client_ca (ne ($tls.client_certificate | default "") "optional")) }} --cert m-1.crt --key m-1.key{{ end -}}
{{- if .listener.authenticate }} -i m-1{{ end -}}
{{- if has "token" $ways }} -u m-1 -P "$(cat m-1.jwt)"{{ end -}}
{{- if or (has "password" $ways) (has "http" $ways) }} -u m-1 -P PASSWORD{{ end -}}
{{- end -}}

{{/* The ids of the first devices of the fleet that device-sim makes of --seed=1. */}}
{{- define "landfall.testDevices" -}}
{{- $devices := list "pump-0" "pump-1" "meter-2" "pump-3" "meter-4" "tracker-5" -}}
{{- $ids := list -}}
{{- range slice $devices 0 (min 6 (int .Values.test.devices)) -}}
{{- $ids = append $ids (printf "landfall-test-%s" .) -}}
{{- end -}}
{{- $ids | toJson -}}
{{- end -}}

{{/*
How many gateways there are while an autoscaler was just turned on. Kubernetes makes it one when the number
leaves the object of which Helm still holds it, so it stays until the autoscaler has changed it once. With
client-side apply (an entry of `Update`) Helm holds it for good, and nothing conflicts.
*/}}
{{- define "landfall.heldReplicas" -}}
{{- $live := lookup "apps/v1" "StatefulSet" .Release.Namespace (include "landfall.fullname" .) -}}
{{- $held := "" -}}
{{- range ($live.metadata | default dict).managedFields -}}
{{- $owns := hasKey (dig "f:spec" dict (.fieldsV1 | default dict)) "f:replicas" -}}
{{- if and (hasPrefix "helm" .manager) (not .subresource) (or $owns (eq .operation "Update")) -}}
{{- $held = $live.spec.replicas -}}
{{- end -}}
{{- end -}}
{{- $held -}}
{{- end -}}

{{/* Something else than `replicas` says how many gateways there are. */}}
{{- define "landfall.isScaled" -}}
{{- if or .Values.autoscaling.enabled .Values.keda.enabled -}}true{{- end -}}
{{- end -}}
