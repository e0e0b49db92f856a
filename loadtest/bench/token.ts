/** What a token costs: node loadtest/bench/token.ts [--quick] [--json] */
import { createHmac, randomBytes } from "node:crypto";
import { v7 } from "uuid";
import { generateKeys } from "../../actors/token/keys.ts";
import { createTokenCodec, TokenAt, TOKEN_BYTES } from "../../actors/token/token.ts";
import { createBench } from "../lib/microbench.ts";

const SAMPLES = 1024;
const CALLS = 1_000_000;

const hmacKey = randomBytes(32);
const codec = await createTokenCodec(generateKeys(randomBytes));
const ids = Array.from({ length: SAMPLES }, () => v7({}, Buffer.alloc(16)));
const tokens = ids.map((id, i) => codec.sign(1, BigInt(i), id));
const texts = tokens.map((token) => codec.encodeText(token));
const asciis = texts.map((text) => Buffer.from(text, "ascii"));
const into = Buffer.alloc(TOKEN_BYTES);
const sampleAt = <T>(samples: readonly T[], i: number): T => samples[i % SAMPLES]!;

const bench = createBench("token", "a token");
const measure = (what: string, calls: number, call: (i: number) => number) =>
  bench.measure(what, calls, (count) => {
    let sum = 0;
    for (let i = 0; i < count; i++) sum += call(i);
    return sum;
  });

measure("sign", CALLS, (i) => codec.sign(1, 1001n, sampleAt(ids, i))[43]!);
measure("verify", CALLS, (i) => codec.verify(sampleAt(tokens, i)));
measure("encode as text", CALLS, (i) => codec.encodeText(sampleAt(tokens, i)).length);
measure("decode text", CALLS, (i) => codec.decodeText(sampleAt(texts, i), into));
measure("decode ASCII bytes", CALLS, (i) => codec.decodeAscii(sampleAt(asciis, i), into));
measure(
  "decode text and verify",
  CALLS,
  (i) => codec.decodeText(sampleAt(texts, i), into) + codec.verify(into),
);
measure(
  "for comparison, createHmac of as many bytes",
  CALLS / 10,
  (i) => createHmac("sha256", hmacKey).update(sampleAt(tokens, i).subarray(0, TokenAt.mac)).digest()[0]!,
);
measure("for comparison, Buffer.from and encode again", CALLS, (i) => {
  const text = sampleAt(texts, i);
  return Buffer.from(text, "base64url").toString("base64url") === text ? 1 : 0;
});
bench.print();
