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
 *  U4 What `append` said true of reaches each follower of its channel, also one that comes later,
 *     while it is among the channel's newest `busHistoryMaxMessages`: in the order of one publisher's
 *     appends that were each awaited. What it said false of may reach them too. A bus that lost its
 *     memory lost its history.
 */
export interface Bus {
  publish(channel: string, message: Uint8Array): void;
  subscribe(channel: string, onMessage: (message: Uint8Array) => void): Subscription;
  /** Adds to a counter that forgets itself after `ttlMs`; the sum, or undefined with the bus gone. */
  count(key: string, by: number, ttlMs: number): Promise<number | undefined>;
  /** Adds to a channel's history. False where it may not be there; never rejects. */
  append(channel: string, message: Uint8Array): Promise<boolean>;
  /** The newest of a channel's history; null where there is none, undefined where nobody knows. */
  newest(channel: string): Promise<Uint8Array | null | undefined>;
  /** Tells the histories of these channels, appended at `sinceMs` or later, and goes on with what comes. */
  follow(
    channels: () => readonly string[],
    sinceMs: number,
    onMessage: (message: Uint8Array) => void,
  ): Subscription;
  /** Whether a history outlives the process that appended it. */
  readonly isHistoryShared: boolean;
  readonly dropped: number;
  close(): Promise<void>;
}

export interface Subscription {
  close(): void;
}
