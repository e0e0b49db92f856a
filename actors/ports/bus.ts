/**
 * Bus: what spans shards and may be lost without harm: the live feed, notices that a cached
 * thing changed, counters across shards. Nothing here is the truth of anything; every caller
 * works, slower or blinder, with the bus gone.
 *
 * Contract (bus.conformance.ts):
 *  U1 A message reaches the subscribers that are connected, in a publisher's order, at most once.
 *  U2 Nothing waits longer than its deadline for the bus; what cannot be sent is dropped and
 *     counted (`dropped`).
 *  U3 A counter is approximate: increments may be lost with the bus, never doubled by a retry.
 */
export interface Bus {
  publish(channel: string, message: Uint8Array): void;
  subscribe(channel: string, onMessage: (message: Uint8Array) => void): Subscription;
  /** Adds to a counter that forgets itself after `ttlMs`; the sum, or undefined with the bus gone. */
  count(key: string, by: number, ttlMs: number): Promise<number | undefined>;
  readonly dropped: number;
  close(): Promise<void>;
}

export interface Subscription {
  close(): void;
}
