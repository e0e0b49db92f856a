/**
 * Where a stream goes on: the id of each event, over SSE `Last-Event-ID`, over gRPC the resume token.
 *
 *   <second>-<generation>-<version>
 *
 * By its generation a server knows its own ids, and goes on behind the version. Any other server
 * tells the seconds anew from a little before that one: an event states its second whole, so one
 * that is told twice changes nothing.
 */
export interface ResumePoint {
  readonly second: number;
  readonly generation: string;
  /** 0 for what was told by time, not by version. */
  readonly version: number;
}

const ID = /^(\d{1,10})-([0-9a-f]{12})-(\d{1,15})$/;

export function formatResume({ second, generation, version }: ResumePoint): string {
  return `${second}-${generation}-${version}`;
}

/** Undefined for what is no id of ours. */
export function parseResume(text: string): ResumePoint | undefined {
  const [, second, generation, version] = ID.exec(text) ?? [];
  if (second === undefined || generation === undefined || version === undefined) return undefined;
  return { second: Number(second), generation, version: Number(version) };
}
