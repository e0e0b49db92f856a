{{/* Made of operator/rbac.ts by npm run charts: do not edit. */}}

{{- define "adtally.clusterRules" -}}
- { apiGroups: [adtally.dev], resources: [clickclusters], verbs: [list, watch, patch] }
- { apiGroups: [adtally.dev], resources: [clickclusters/finalizers], verbs: [update] }
- { apiGroups: [adtally.dev], resources: [clickclusters/status, hotadsplits/status], verbs: [update] }
- { apiGroups: [adtally.dev], resources: [hotadsplits], verbs: [list, watch, create, patch, delete] }
- { apiGroups: [apps], resources: [statefulsets, deployments], verbs: [list, watch, create, patch] }
- { apiGroups: [""], resources: [pods], verbs: [list, watch, delete] }
- { apiGroups: [""], resources: [configmaps], verbs: [get, list, watch, create, patch, update, delete] }
- { apiGroups: [""], resources: [services, serviceaccounts], verbs: [list, watch, create, patch, delete] }
- { apiGroups: [policy], resources: [poddisruptionbudgets], verbs: [list, watch, create, patch, delete] }
- { apiGroups: [autoscaling], resources: [horizontalpodautoscalers], verbs: [list, watch, create, patch, delete] }
- { apiGroups: [networking.k8s.io], resources: [networkpolicies], verbs: [list, watch, create, patch, delete] }
- { apiGroups: [""], resources: [secrets], verbs: [get] }
- { apiGroups: [events.k8s.io], resources: [events], verbs: [create, patch] }
{{- end -}}

{{- define "adtally.leaseRules" -}}
- { apiGroups: [coordination.k8s.io], resources: [leases], verbs: [get, create, update] }
{{- end -}}
