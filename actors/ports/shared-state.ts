/**
 * SharedState: one small document that all programs of a cluster read and one at a time publishes: the
 * assignment, the routing table. In a file (one machine), in Redis (the fast copy), later in a
 * ConfigMap.
 *
 * Contract (shared-state.conformance.ts):
 *  H1 `read` gives the last published text, or undefined before the first.
 *  H2 A watcher is told of the newest text soon after each change and after a lost connection;
 *     intermediate texts may be left out, an older one never follows a newer one.
 *  H3 While the store is gone, `read` fails within its deadline and watchers keep what they
 *     have; they catch up by themselves.
 *  H4 Of those who replace one text at the same time one succeeds, and the others are told so.
 *     What was made of a text that another has replaced meanwhile is never published.
 */
export interface SharedState {
  /** @throws SHARED_STATE_UNAVAILABLE */
  read(): Promise<string | undefined>;
  /** @throws SHARED_STATE_UNAVAILABLE */
  publish(text: string): Promise<void>;
  /**
   * Publishes `text` where `current` (undefined: nothing yet) still stands; false where it does not (H4).
   * @throws SHARED_STATE_UNAVAILABLE; it may then have been published
   */
  replace(current: string | undefined, text: string): Promise<boolean>;
  /** Calls back with the current text first, where there is one. */
  watch(onText: (text: string) => void): Watch;
}

export interface Watch {
  close(): void;
}
