/**
 * Who did what with a key: every administrative change, and every attempt that was refused. What is
 * kept of an attempt is never the key that was sent, only the id of one that is known.
 */
export interface AuditEvent {
  readonly keyId: string | undefined;
  readonly keyName: string | undefined;
  /** GET, POST …; GRPC. */
  readonly method: string;
  /** As it is registered: /v1/keys/:key_id, or a gRPC method's full name. */
  readonly route: string;
  /** As it was called, without its query: which may hold a shared link. */
  readonly path: string;
  /** HTTP's status, or the code of a gRPC refusal. */
  readonly status: number | string;
  readonly outcome: "done" | "refused" | "failed";
}

export interface AuditEntry extends AuditEvent {
  /** Grows with time; the cursor of a listing. */
  readonly id: number;
  readonly atMs: number;
  /** The same refusal, so many times more since the entry before of it. */
  readonly repeated: number;
}

export interface Audit {
  /** Returns at once; what it writes may be lost with the machine, a second of it at the most. */
  note(event: AuditEvent): void;
  /** The newest first, before the id `before`. */
  list(limit: number, before?: number): Promise<readonly AuditEntry[]>;
}
