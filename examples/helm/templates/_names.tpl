{{- define "mica.labels" -}}
app.kubernetes.io/name: mica
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}
{{- define "mica.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}
{{- /* A file of the chart with the paths of this release. */ -}}
{{- define "mica.fragment" -}}
{{- /* Images that erofs mounts are not mapped by containerd. */ -}}
{{- $capabilities := ternary "[]" "[\"remap-ids\"]" (eq .root.Values.driver "erofs") -}}
{{ .root.Files.Get .file | replace "@RUN@" .root.Values.runDirectory | replace "@ROOT@" .root.Values.root | replace "@CAPABILITIES@" $capabilities | replace "@SYSTEMD@" (toString .root.Values.containerd.systemdCgroup) }}
{{- end -}}
