/** Names of what the operator writes, beside those of what it renders (render/manifest.ts). */
import { GROUP } from "../api/meta.ts";

/** Annotation: by which leader's term an object was written last. */
export const EPOCH_ANNOTATION = `${GROUP}/leader-epoch`;

/** Of server-side apply: whose fields they are. */
export const FIELD_MANAGER = "adtally-operator";

/** Keys of the state's ConfigMap, and the files that programs read from --state-dir. */
export const ROUTING_KEY = "routing.json";
export const ASSIGNMENT_KEY = "assignment.json";
/** Uid of the ClickCluster that ended with all that it took in counted; empty: not known of any. */
export const DRAINED_KEY = "drained";
