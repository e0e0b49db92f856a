/**
 * ShardService: the actor host's end of a gateway's stream of submissions.
 *
 *  H1 A submission whose bytes are not `count` whole rows is refused before a shard sees it.
 *  H2 At most `mailboxMaxClicks` clicks of one stream are under way; past it the stream is not
 *     read. A shard's own mailbox refuses sooner, by name.
 *  H3 Which shards are here is asked for each submission (`shards` is a ShardPort that may come
 *     to own others at any time); one that is not is NOT_OWNER, and the stream goes on.
 *  H4 Draining: what comes is NOT_OWNER, what is under way is answered, up to
 *     `drainDeadlineMs`; then the streams end, and with them the connections.
 *  H5 Answers of one turn of the event loop leave as one message.
 *
 * A stream is opened with the host's metadata: by it a gateway knows that the host is there, and
 * what time the host thinks it is.
 */
import { Metadata } from "@grpc/grpc-js";
import { rowEnd } from "../../block/row.ts";
import { AdtallyError, isAdtallyError, messageOf } from "../../core/errors.ts";
import { decodeSubmission, encodeShardAnswers, scatter } from "./shard-codec.ts";
import { HOST_CLOCK_KEY } from "./wire.ts";
import { statusOf } from "./status.ts";
import type { ServerDuplexStream } from "@grpc/grpc-js";
import type { Limits } from "../../core/limits.ts";
import type { ShardPort, Submission } from "../../ports/shard-port.ts";
import type { Clock } from "../../runtime/clock.ts";
import type { Logger } from "../../runtime/log.ts";
import type { GrpcService } from "./server.ts";
import type { NumberedSubmission, ShardAnswer } from "./shard-codec.ts";

type SubmitStream = ServerDuplexStream<Buffer, Buffer>;

export interface ShardServiceDeps {
  readonly shards: ShardPort;
  readonly limits: Limits;
  readonly clock: Clock;
  readonly logger: Logger;
}

export function createShardService({ shards, limits, clock, logger }: ShardServiceDeps): GrpcService {
  const streams = new Set<SubmitStream>();
  let isDraining = false;
  let underWay = 0;
  let whenIdle: (() => void) | undefined;

  async function answer({ requestId, submission }: NumberedSubmission): Promise<ShardAnswer> {
    try {
      assertRows(submission);
      if (isDraining) throw new AdtallyError("NOT_OWNER", "this actor host is draining");
      return { requestId, result: await shards.submit(submission) };
    } catch (error) {
      const known = isAdtallyError(error);
      if (!known) logger.error({ error, shard: submission.shard }, "a submission failed");
      const code = known ? error.code : "ABORTED";
      const retryAfterMs = (known ? error.retryAfterMs : undefined) ?? 0;
      return { requestId, result: { code, detail: messageOf(error), retryAfterMs } };
    }
  }

  function submit(call: SubmitStream): void {
    let clicksUnderWay = 0;
    let ended = false;
    const endWhenIdle = (): void => {
      if (ended && clicksUnderWay === 0) call.end();
    };
    streams.add(call);
    const opening = new Metadata();
    opening.set(HOST_CLOCK_KEY, String(clock.now()));
    call.sendMetadata(opening);
    call.on("cancelled", () => streams.delete(call));
    call.on("end", () => {
      streams.delete(call);
      ended = true;
      endWhenIdle();
    });
    let answers: (ShardAnswer & { readonly clicks: number })[] = [];
    /** H5 */
    const leave = (): void => {
      const leaving = answers;
      answers = [];
      underWay -= leaving.length;
      // Ended by the drain: nothing was taken of what came after.
      if (call.writableEnded) return;
      call.write(encodeShardAnswers(leaving), () => {
        for (const { clicks } of leaving) clicksUnderWay -= clicks;
        if (clicksUnderWay < limits.mailboxMaxClicks) call.resume();
        endWhenIdle();
      });
      if (underWay === 0) whenIdle?.();
    };
    call.on("data", (bytes: Buffer) => {
      let decoded: NumberedSubmission[];
      try {
        decoded = scatter(bytes).map(decodeSubmission);
      } catch (error) {
        call.emit("error", statusOf(error, limits));
        return;
      }
      for (const item of decoded) {
        const clicks = item.submission.count;
        clicksUnderWay += clicks;
        underWay += 1;
        void answer(item).then(({ requestId, result }) => {
          if (answers.length === 0) setImmediate(leave);
          answers.push({ requestId, result, clicks });
        });
      }
      if (clicksUnderWay >= limits.mailboxMaxClicks) call.pause();
    });
  }

  return {
    name: "ShardService",
    raw: true,
    handlers: { Submit: submit },
    async drain() {
      isDraining = true;
      if (underWay > 0) {
        await new Promise<void>((resolve) => {
          const timer = clock.after(limits.drainDeadlineMs, resolve);
          whenIdle = () => {
            timer.cancel();
            resolve();
          };
        });
      }
      // An end, not an error: what was written before it still arrives.
      for (const call of streams) call.end();
    },
  };
}

/** H1. @throws INPUT_INVALID */
function assertRows({ shard, rows, count }: Submission): void {
  let at = 0;
  let seen = 0;
  while (at >= 0 && at < rows.length && seen < count) {
    at = rowEnd(rows, at);
    seen += 1;
  }
  if (count > 0 && seen === count && at === rows.length) return;
  throw new AdtallyError(
    "INPUT_INVALID",
    `shard ${shard}: ${rows.length} bytes are not ${count} rows of a block`,
  );
}
