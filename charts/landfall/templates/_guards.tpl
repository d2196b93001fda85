{{/* What is wrong with the values and no schema can say: all of it at once, each with what to write instead. */}}

{{- define "landfall.guards" -}}
{{- $faults := concat
  (include "landfall.guards.config" . | fromJsonArray)
  (include "landfall.guards.listeners" . | fromJsonArray)
  (include "landfall.guards.identity" . | fromJsonArray)
  (include "landfall.guards.proxies" . | fromJsonArray)
  (include "landfall.guards.secrets" . | fromJsonArray)
  (include "landfall.guards.objects" . | fromJsonArray)
  (include "landfall.guards.parse" . | fromJsonArray) -}}
{{- if $faults -}}
{{- printf "\n\nThese values do not fit:\n  - %s\n" (join "\n  - " $faults) | fail -}}
{{- end -}}
{{- end -}}

{{- define "landfall.guards.config" -}}
{{- $faults := list -}}
{{- $config := .Values.config -}}
{{- $memory := ((.Values.resources | default dict).limits | default dict).memory -}}
{{- $ownMemory := ($config.limits | default dict).memory -}}
{{- if not ($config.kafka | default dict).bootstrap_servers -}}
{{- $faults = append $faults "config.kafka.bootstrap_servers: is needed: write the brokers as HOST:PORT,HOST:PORT" -}}
{{- end -}}
{{- if $config.gateway_id -}}
{{- $faults = append $faults "config.gateway_id: would be the same for every gateway; leave it out (each takes its pod's name) and write gatewayIdPrefix if that is not enough" -}}
{{- end -}}
{{- if gt (len (printf "%s%s-999" .Values.gatewayIdPrefix (include "landfall.fullname" .))) 64 -}}
{{- $faults = append $faults "gatewayIdPrefix: makes a gateway's id longer than 64 characters: write a shorter one, or a shorter fullnameOverride" -}}
{{- end -}}
{{- if and $memory $ownMemory -}}
{{- $faults = append $faults "config.limits.memory: the gateway takes resources.limits.memory: leave it out" -}}
{{- end -}}
{{- if not (or $memory $ownMemory) -}}
{{- $faults = append $faults "resources.limits.memory: is needed, since the gateway shares it out: write such as 1Gi (without a limit of the container, write config.limits.memory)" -}}
{{- end -}}
{{- $drain := include "landfall.drainSeconds" . | int -}}
{{- if not (include "landfall.milliseconds" (($config.drain | default dict).deadline | default "25s") | int64) -}}
{{- $faults = append $faults "config.drain.deadline: is zero: nothing could be drained; write such as 25s" -}}
{{- end -}}
{{- with .Values.terminationGracePeriodSeconds -}}
{{- if lt (int .) $drain -}}
{{- $faults = append $faults (printf "terminationGracePeriodSeconds: %d s are too short for config.drain, which takes %d s (pause + deadline + 5 s): leave it out, or write at least %d" (int .) $drain $drain) -}}
{{- end -}}
{{- end -}}
{{- range .Values.extraEnv -}}
{{- if hasPrefix "LANDFALL_" (upper .name) -}}
{{- $faults = append $faults (printf "extraEnv: %s would go past what the chart reads from config: write it there (for the log, write log.level and log.format)" .name) -}}
{{- end -}}
{{- end -}}
{{- $faults | toJson -}}
{{- end -}}

{{- define "landfall.guards.listeners" -}}
{{- $faults := list -}}
{{- $listeners := include "landfall.listeners" . | fromJsonArray -}}
{{- $admin := include "landfall.adminBind" . -}}
{{- $names := list -}}
{{- $ports := list (include "landfall.port" $admin | int) -}}
{{- $probes := include "landfall.probesBind" . -}}
{{- if not $listeners -}}
{{- $faults = append $faults "config.listeners: none can be reached from outside its pod: bind one to 0.0.0.0:1883" -}}
{{- end -}}
{{- if or (lt (index $ports 0) 1024) (gt (index $ports 0) 65535) -}}
{{- $faults = append $faults (printf "config.admin.bind: a process without privileges cannot take port %d: write one of 1024 to 65535" (index $ports 0)) -}}
{{- end -}}
{{- if and (not $probes) (regexMatch "^(127\\.|\\[::1\\])" $admin) -}}
{{- $faults = append $faults (printf "config.admin.bind: the probes cannot reach %s: bind it to 0.0.0.0:8080, or write config.admin.probes" $admin) -}}
{{- end -}}
{{- if and (not $probes) ($.Values.config.admin | default dict).tls -}}
{{- $faults = append $faults "config.admin.probes: the kubelet has no certificate to know that of config.admin.tls by: write { bind: \"0.0.0.0:8081\", metrics: true }" -}}
{{- end -}}
{{- if $probes -}}
{{- $port := include "landfall.port" $probes | int -}}
{{- if regexMatch "^(127\\.|\\[::1\\])" $probes -}}
{{- $faults = append $faults (printf "config.admin.probes.bind: the kubelet cannot reach %s: bind it to 0.0.0.0:8081" $probes) -}}
{{- end -}}
{{- if or (lt $port 1024) (gt $port 65535) -}}
{{- $faults = append $faults (printf "config.admin.probes.bind: a process without privileges cannot take port %d: write one of 1024 to 65535" $port) -}}
{{- end -}}
{{- if has $port $ports -}}
{{- $faults = append $faults (printf "config.admin.probes.bind: port %d is the admin port's: write another" $port) -}}
{{- end -}}
{{- $ports = append $ports $port -}}
{{- end -}}
{{- range $listeners -}}
{{- $port := int .port -}}
{{- if or (not (regexMatch "^[a-z0-9]([a-z0-9-]{0,13}[a-z0-9])?$" .name)) (not (regexMatch "[a-z]" .name)) (contains "--" .name) -}}
{{- $faults = append $faults (printf "config.listeners: %q cannot be the name of a port: write at most 15 of a-z 0-9 -, at least one of them a letter" .name) -}}
{{- end -}}
{{- if or (has .name (list "admin" "probes")) (has .name $names) -}}
{{- $faults = append $faults (printf "config.listeners: the name %q is taken: write another" .name) -}}
{{- end -}}
{{- if has $port $ports -}}
{{- $faults = append $faults (printf "config.listeners: %s: port %d is taken: write another" .name $port) -}}
{{- end -}}
{{- if gt $port 65535 -}}
{{- $faults = append $faults (printf "config.listeners: %s: there is no port %d: write one of 1024 to 65535" .name $port) -}}
{{- end -}}
{{- if lt $port 1024 -}}
{{- $faults = append $faults (printf "config.listeners: %s: a process without privileges cannot take port %d: write one from 1024 on, and the one that devices know in service.ports" .name $port) -}}
{{- end -}}
{{- $names = append $names .name -}}
{{- $ports = append $ports $port -}}
{{- end -}}
{{- range $key := list "ports" "nodePorts" -}}
{{- range $name, $_ := get $.Values.service $key -}}
{{- if not (has $name $names) -}}
{{- $faults = append $faults (printf "service.%s.%s: there is no such listener beyond loopback: there are %s" $key $name (join ", " $names)) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- with .Values.service -}}
{{- if and (eq .type "ClusterIP") .nodePorts -}}
{{- $faults = append $faults "service.nodePorts: a ClusterIP has none: write service.type NodePort or LoadBalancer" -}}
{{- end -}}
{{- if and (ne .type "LoadBalancer") (or .loadBalancerClass .loadBalancerSourceRanges) -}}
{{- $faults = append $faults (printf "service.loadBalancerClass, service.loadBalancerSourceRanges: a %s has no load balancer, so they would protect nothing: write service.type LoadBalancer, or networkPolicy.mqttFrom" .type) -}}
{{- end -}}
{{- end -}}
{{- $faults | toJson -}}
{{- end -}}

{{/* Who may connect is said in so many words: no default opens a port to everybody. */}}
{{- define "landfall.guards.identity" -}}
{{- $faults := list -}}
{{- range .Values.config.listeners -}}
{{- if not (or .anonymous .authenticate (include "landfall.isLocal" .)) -}}
{{- $faults = append $faults (printf "config.listeners: %s: nothing says who may connect: write `authenticate: [password]` (or another way) with what it needs, or `anonymous: true` if whoever reaches the port may publish as any device" .name) -}}
{{- end -}}
{{- end -}}
{{- if .Values.test.enabled -}}
{{- $listener := include "landfall.testListener" . | fromJson -}}
{{- $test := .Values.test -}}
{{- if and $test.listener (not $listener) -}}
{{- $faults = append $faults (printf "test.listener: there is no listener %q beyond loopback" $test.listener) -}}
{{- end -}}
{{- if and $listener $listener.authenticate (not $test.certificates) (not $test.args) -}}
{{- $faults = append $faults (printf "test: the listener %s asks its devices who they are, and they have nothing to show: write test.certificates, or test.secretName and test.args, or test.enabled: false" $listener.name) -}}
{{- end -}}
{{- if and $test.certificates (not $test.certificates.issuerRef) -}}
{{- $faults = append $faults "test.certificates.issuerRef: is needed: write { name: …, kind: … }" -}}
{{- end -}}
{{- if and $test.certificates (gt (int $test.devices) 6) -}}
{{- $faults = append $faults "test.devices: with test.certificates there are at most 6" -}}
{{- end -}}
{{- end -}}
{{- $faults | toJson -}}
{{- end -}}

{{/*
A load balancer that says by annotation that it sends PROXY headers, and listeners that take none, or never from it:
no device could connect. What other annotations mean is not known here, so nothing is said of them.
*/}}
{{- define "landfall.guards.proxies" -}}
{{- $faults := list -}}
{{- $sends := "" -}}
{{- $annotations := .Values.service.annotations | default dict -}}
{{- range $name := list "service.beta.kubernetes.io/aws-load-balancer-proxy-protocol" "service.beta.kubernetes.io/do-loadbalancer-enable-proxy-protocol" "load-balancer.hetzner.cloud/uses-proxyprotocol" "loadbalancer.openstack.org/proxy-protocol" -}}
{{- if has (get $annotations $name | lower) (list "*" "true" "v1" "v2") -}}
{{- $sends = $name -}}
{{- end -}}
{{- end -}}
{{- $target := "service.beta.kubernetes.io/aws-load-balancer-target-group-attributes" -}}
{{- $attributes := get $annotations $target | nospace | splitList "," -}}
{{- if has "proxy_protocol_v2.enabled=true" $attributes -}}
{{- $sends = $target -}}
{{- end -}}
{{- $keeps := "" -}}
{{- if has "preserve_client_ip.enabled=true" $attributes -}}
{{- $keeps = printf "%s says preserve_client_ip.enabled=true" $target -}}
{{- else if and (eq (get $annotations "service.beta.kubernetes.io/aws-load-balancer-nlb-target-type") "instance") (eq .Values.service.externalTrafficPolicy "Local") (not (has "preserve_client_ip.enabled=false" $attributes)) -}}
{{- $keeps = "an NLB with targets of the type instance keeps the client's address unless preserve_client_ip.enabled=false is among its attributes, and so does service.externalTrafficPolicy Local" -}}
{{- end -}}
{{- if and $sends (eq .Values.service.type "LoadBalancer") -}}
{{- $takes := false -}}
{{- $names := list -}}
{{- range .Values.config.listeners -}}
{{- if not (include "landfall.isLocal" .) -}}
{{- $names = append $names .name -}}
{{- with (.proxy_protocol | default dict).trusted -}}
{{- $takes = true -}}
{{- if and $keeps (not (has "0.0.0.0/0" .)) -}}
{{- $faults = append $faults (printf "config.listeners: %s: proxy_protocol.trusted never holds: %s, so the gateway sees each device's own address and refuses its PROXY header: write preserve_client_ip.enabled=false in the annotation, or do without the PROXY header" (last $names) $keeps) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if not $takes -}}
{{- $faults = append $faults (printf "service.annotations: %s makes the load balancer send a PROXY header, which the listeners (%s) take for a mistake: write config.listeners[].proxy_protocol with the load balancer's addresses in trusted, or leave the annotation out" $sends (join ", " $names)) -}}
{{- end -}}
{{- end -}}
{{- $faults | toJson -}}
{{- end -}}

{{/* A ConfigMap is no place for a secret, and what the configuration refers to has to be mounted. */}}
{{- define "landfall.guards.secrets" -}}
{{- $faults := list -}}
{{- $config := .Values.config -}}
{{- $maps := dict "config.kafka.properties" (($config.kafka | default dict).properties) "config.object_store.options" (($config.object_store | default dict).options) -}}
{{- range $lane, $settings := $config.lanes -}}
{{- $_ := set $maps (printf "config.lanes.%s.properties" $lane) (($settings | default dict).properties) -}}
{{- end -}}
{{- $parse := $config.parse | default dict -}}
{{- range $pool, $settings := $parse.pools -}}
{{- $_ := set $maps (printf "config.parse.pools.%s.properties" $pool) (($settings | default dict).properties) -}}
{{- end -}}
{{- $_ := set $maps "config.parse.metadata.properties" (($parse.metadata | default dict).properties) -}}
{{- range $name, $token := (($config.admin | default dict).authenticate | default dict).tokens -}}
{{- if not (kindIs "map" $token) -}}
{{- $faults = append $faults (printf "config.admin.authenticate.tokens.%s: would be readable in a ConfigMap: put it into a Secret, mount it with `secrets: { NAME: { secretName: … } }`, and write { from_file: /etc/landfall/secrets/NAME/KEY } here" $name) -}}
{{- end -}}
{{- end -}}
{{- $variables := list -}}
{{- range .Values.extraEnv -}}
{{- $variables = append $variables .name -}}
{{- end -}}
{{- range $place, $entries := $maps -}}
{{- range $key, $value := $entries -}}
{{- $isSecret := and (regexMatch "(?i)(password|passphrase|secret|token|credential|private|_key|\\.key|\\.pem|(^|_)sas_|oauthbearer\\.config|jaas)" $key) (not (regexMatch "(?i)(location|[._]file|_path|_uri|[._]url|[._]id|_type|_enabled|ca\\.pem|certificate\\.pem|application_credentials|keytab)$" $key)) -}}
{{- if and $isSecret (not (kindIs "map" $value)) -}}
{{- $faults = append $faults (printf "%s.%s: would be readable in a ConfigMap: put it into a Secret, mount it with `secrets: { NAME: { secretName: … } }`, and write { from_file: /etc/landfall/secrets/NAME/KEY } here" $place $key) -}}
{{- end -}}
{{- if kindIs "map" $value -}}
{{- if and $value.from_env (not (has $value.from_env $variables)) (not $.Values.extraEnvFrom) -}}
{{- $faults = append $faults (printf "%s.%s: the gateways have no environment variable %s: write it in extraEnv, with valueFrom.secretKeyRef" $place $key $value.from_env) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- range regexFindAll "/etc/landfall/secrets/[^/\\s\"']+" (toYaml $config) -1 | uniq -}}
{{- $name := base . -}}
{{- if not (hasKey $.Values.secrets $name) -}}
{{- $faults = append $faults (printf "secrets.%s: is missing, and config reads from %s: write `secrets: { %s: { secretName: … } }`" $name . $name) -}}
{{- end -}}
{{- end -}}
{{- range regexFindAll "/etc/landfall/config-maps/[^/\\s\"']+" (toYaml $config) -1 | uniq -}}
{{- $name := base . -}}
{{- if not (hasKey $.Values.configMaps $name) -}}
{{- $faults = append $faults (printf "configMaps.%s: is missing, and config reads from %s: write `configMaps: { %s: { configMapName: … } }`" $name . $name) -}}
{{- end -}}
{{- end -}}
{{- range regexFindAll "/etc/landfall/certificates/[^/\\s\"']+" (toYaml $config) -1 | uniq -}}
{{- $name := base . -}}
{{- if not (hasKey $.Values.certificates $name) -}}
{{- $faults = append $faults (printf "certificates.%s: is missing, and config reads from %s: write `certificates: { %s: { issuerRef: { name: …, kind: … } } }`, or mount a Secret of yours with `secrets`" $name . $name) -}}
{{- end -}}
{{- end -}}
{{- $faults | toJson -}}
{{- end -}}

{{- define "landfall.guards.objects" -}}
{{- $faults := list -}}
{{- $name := include "landfall.fullname" . -}}
{{- if not (regexMatch "^[a-z]([-a-z0-9]*[a-z0-9])?$" $name) -}}
{{- $faults = append $faults (printf "fullnameOverride: %q cannot name a service: write a name of a-z 0-9 - that begins with a letter" $name) -}}
{{- end -}}
{{- range .Values.extraVolumes -}}
{{- if regexMatch "^(config|data|ledger|test|test-ca|test-devices|(secret|config-map|certificate)-.*)$" .name -}}
{{- $faults = append $faults (printf "extraVolumes: the name %q is the chart's own: write another" .name) -}}
{{- end -}}
{{- end -}}
{{- with .Values.networkPolicy -}}
{{- if and (not .enabled) (or .mqttFrom .metricsFrom .adminFrom .egress) -}}
{{- $faults = append $faults "networkPolicy: mqttFrom, metricsFrom, adminFrom and egress protect nothing while it is off: write enabled: true, or leave them out" -}}
{{- end -}}
{{- end -}}
{{- range $key := list "commonLabels" "podLabels" -}}
{{- range $name, $_ := get $.Values $key -}}
{{- if has $name (list "app.kubernetes.io/name" "app.kubernetes.io/instance") -}}
{{- $faults = append $faults (printf "%s: %s is what the services find the gateways by: leave it out" $key $name) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- with .Values.podDisruptionBudget -}}
{{- if .enabled -}}
{{- $least := int $.Values.replicas -}}
{{- if $.Values.autoscaling.enabled -}}{{- $least = int $.Values.autoscaling.minReplicas -}}{{- end -}}
{{- if $.Values.keda.enabled -}}{{- $least = int $.Values.keda.minReplicas -}}{{- end -}}
{{- $stay := .minAvailable | toString -}}
{{- $isNumber := regexMatch "^[0-9]+$" $stay -}}
{{- if and (not (kindIs "invalid" .minAvailable)) (or (eq $stay "100%") (and $isNumber (gt $least 0) (ge (int .minAvailable) $least))) -}}
{{- $faults = append $faults (printf "podDisruptionBudget.minAvailable: with %d gateways, %s that have to stay let no node be drained: write fewer" $least $stay) -}}
{{- end -}}
{{- if and (kindIs "invalid" .minAvailable) (has (.maxUnavailable | toString) (list "0" "0%")) -}}
{{- $faults = append $faults "podDisruptionBudget.maxUnavailable: none that may be away lets no node be drained: write at least 1" -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if and .Values.autoscaling.enabled .Values.keda.enabled -}}
{{- $faults = append $faults "autoscaling.enabled, keda.enabled: both would scale the same gateways: enable one" -}}
{{- end -}}
{{- range $key := list "autoscaling" "keda" -}}
{{- with get $.Values $key -}}
{{- if and .enabled (gt (int .minReplicas) (int .maxReplicas)) -}}
{{- $faults = append $faults (printf "%s.minReplicas: %d is more than maxReplicas (%d)" $key (int .minReplicas) (int .maxReplicas)) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- with .Values.autoscaling -}}
{{- if and .enabled (not .targetCPUUtilizationPercentage) (not .metrics) -}}
{{- $faults = append $faults "autoscaling: there is nothing to scale by: write targetCPUUtilizationPercentage or metrics" -}}
{{- end -}}
{{- if and .enabled .targetCPUUtilizationPercentage (not (($.Values.resources | default dict).requests | default dict).cpu) (not (($.Values.resources | default dict).limits | default dict).cpu) -}}
{{- $faults = append $faults "autoscaling.targetCPUUtilizationPercentage: is per cent of resources.requests.cpu, which is not there: write it" -}}
{{- end -}}
{{- end -}}
{{- if and .Values.keda.enabled (not .Values.keda.triggers) -}}
{{- $faults = append $faults "keda.triggers: there is nothing to scale by: write at least one" -}}
{{- end -}}
{{- with .Values.metrics -}}
{{- if and .serviceMonitor.enabled .podMonitor.enabled -}}
{{- $faults = append $faults "metrics.serviceMonitor.enabled, metrics.podMonitor.enabled: both would scrape every gateway twice: enable one" -}}
{{- end -}}
{{- range $key := list "serviceMonitor" "podMonitor" -}}
{{- with get $.Values.metrics $key -}}
{{- if and .enabled (gt (include "landfall.milliseconds" .scrapeTimeout | int64) (include "landfall.milliseconds" .interval | int64)) -}}
{{- $faults = append $faults (printf "metrics.%s.scrapeTimeout: %s is longer than the interval (%s), which Prometheus refuses: write at most that" $key .scrapeTimeout .interval) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if and (or .serviceMonitor.enabled .podMonitor.enabled) $.Values.networkPolicy.enabled (not $.Values.networkPolicy.metricsFrom) -}}
{{- $faults = append $faults "networkPolicy.metricsFrom: Prometheus cannot reach /metrics: write where it runs, such as [{ namespaceSelector: { matchLabels: { kubernetes.io/metadata.name: monitoring } } }]" -}}
{{- end -}}
{{- if and (or .serviceMonitor.enabled .podMonitor.enabled) (or ($.Values.config.admin | default dict).authenticate ($.Values.config.admin | default dict).tls) (eq (include "landfall.metricsPort" $) "admin") -}}
{{- $faults = append $faults "config.admin.probes: Prometheus has no token of config.admin.authenticate, and no certificate of config.admin.tls: write { bind: \"0.0.0.0:8081\", metrics: true }" -}}
{{- end -}}
{{- $alerts := list -}}
{{- range ($.Files.Get "files/alerts.yaml" | fromYaml).groups -}}
{{- range .rules -}}
{{- $alerts = append $alerts .alert -}}
{{- end -}}
{{- end -}}
{{- range .prometheusRule.disabled -}}
{{- if not (has . $alerts) -}}
{{- $faults = append $faults (printf "metrics.prometheusRule.disabled: there is no alert %q: there are %s" . (join ", " $alerts)) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- $faults | toJson -}}
{{- end -}}

{{/* The parse role: what has no section does nothing, and what is said of a pool is of one that is there. */}}
{{- define "landfall.guards.parse" -}}
{{- $faults := list -}}
{{- $config := .Values.config -}}
{{- if and $config.parse (not .Values.parse.enabled) -}}
{{- $faults = append $faults "config.parse: nothing reads it, since gateways do not: write parse.enabled: true, or leave it out" -}}
{{- end -}}
{{- if .Values.parse.enabled -}}
{{- if not $config.parse -}}
{{- $faults = append $faults "config.parse: is needed, since it says how messages become events: `landfall parse try --input FILE --topic T` proposes a parser to begin with" -}}
{{- end -}}
{{- if hasPrefix "file:" (($config.object_store | default dict).url | default "") -}}
{{- $faults = append $faults "config.object_store.url: is a folder of each gateway, which no other pod can read: write s3://, gs:// or az://, so that the parse role finds large payloads" -}}
{{- end -}}
{{- $pools := include "landfall.pools" . | fromJsonArray -}}
{{- range $name, $_ := .Values.parse.pools -}}
{{- if not (has $name $pools) -}}
{{- $faults = append $faults (printf "parse.pools.%s: there is no such pool in config.parse: there are %s" $name (join ", " $pools)) -}}
{{- end -}}
{{- end -}}
{{- range $name := $pools -}}
{{- $pool := include "landfall.pool" (dict "root" $ "pool" $name) | fromJson -}}
{{- if not (regexMatch "^[a-z0-9]([-a-z0-9]{0,38}[a-z0-9])?$" $name) -}}
{{- $faults = append $faults (printf "config.parse.pools: %q cannot be in the name of a Deployment: write at most 40 of a-z 0-9 -, and no - at its end" $name) -}}
{{- end -}}
{{- if not (or (($pool.resources | default dict).limits | default dict).memory ($config.limits | default dict).memory) -}}
{{- $faults = append $faults (printf "parse.resources.limits.memory: is needed for the pool %s, whose windows and payloads are planned with it: write such as 1Gi" $name) -}}
{{- end -}}
{{- if and $pool.autoscaling.enabled $pool.keda.enabled -}}
{{- $faults = append $faults (printf "parse.pools.%s: autoscaling and keda both would scale it: enable one" $name) -}}
{{- end -}}
{{- range $key := list "autoscaling" "keda" -}}
{{- with get $pool $key -}}
{{- if and .enabled (gt (int .minReplicas) (int .maxReplicas)) -}}
{{- $faults = append $faults (printf "parse.pools.%s.%s.minReplicas: %d is more than maxReplicas (%d)" $name $key (int .minReplicas) (int .maxReplicas)) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if and .Values.parse.podDisruptionBudget.enabled (has (.Values.parse.podDisruptionBudget.maxUnavailable | toString) (list "0" "0%")) -}}
{{- $faults = append $faults "parse.podDisruptionBudget.maxUnavailable: none that may be away lets no node be drained: write at least 1" -}}
{{- end -}}
{{- end -}}
{{- $faults | toJson -}}
{{- end -}}
