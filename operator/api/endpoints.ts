/** Where a ClickCluster's Redpanda (or Kafka), ClickHouse and Redis are, and the Secrets for them. */
import { z } from "zod";
import { dnsName, ruled, text, whole } from "./schema.ts";

export const secretKey = (key: string) =>
  z.object({
    name: dnsName.describe("Name of a Secret in the same namespace."),
    key: text(253, /^[-._a-zA-Z0-9]+$/)
      .default(key)
      .describe("Which of its keys."),
  });
const password = (of: string) => secretKey("password").optional().describe(`Secret of ${of} password.`);
const user = text(128, /^\S+$/);
const tls = (of: string) =>
  z
    .object({
      caSecret: secretKey("ca.crt")
        .optional()
        .describe(`Secret of the authority of ${of} certificate; the system's where unset.`),
      clientSecretName: dnsName
        .optional()
        .describe(`Secret (kubernetes.io/tls) of the client certificate towards ${of} server.`),
    })
    .optional()
    .describe(`Speak TLS with ${of} server.`);

const redpanda = ruled(
  z.object({
    brokers: z
      .array(text(300, /^[^\s:,]+:[0-9]{1,5}$/).describe("A broker, as host:port."))
      .min(1)
      .max(64)
      .describe("Some of the brokers."),
    topicPrefix: text(64, /^[-._a-zA-Z0-9]+$/)
      .default("adtally.")
      .describe("What the names of all topics begin with."),
    replication: whole(1, 9).default(3).describe("Replicas of new topics."),
    minInsync: whole(1, 9)
      .default(2)
      .describe("Replicas that must have an append before it is acknowledged."),
    user: user.optional().describe("SASL user."),
    passwordSecret: password("the SASL user's"),
    mechanism: z
      .enum(["plain", "scram-sha-256", "scram-sha-512"])
      .default("scram-sha-512")
      .describe("SASL mechanism, where a user is named."),
    tls: tls("the brokers'"),
  }),
  {
    rule: "self.minInsync <= self.replication",
    message: "minInsync must not be above replication: no append could succeed",
  },
  {
    rule: "!has(self.user) || has(self.passwordSecret)",
    message: "a SASL user needs its passwordSecret",
  },
);

const clickhouse = z.object({
  url: text(2_048, /^https?:\/\/\S+$/).describe("ClickHouse's HTTP interface."),
  user: user.default("default").describe("User that writes."),
  passwordSecret: password("that user's"),
  cluster: text(63, /^[A-Za-z_][A-Za-z0-9_.-]*$/)
    .optional()
    .describe("ClickHouse cluster on which replicated tables are made; unset: one server."),
  tls: tls("ClickHouse's"),
});

const redis = z.object({
  url: text(2_048, /^rediss?:\/\/\S+$/).describe("Redis, for what may be lost: rediss:// speaks TLS."),
  user: user.optional().describe("User of Redis (ACL)."),
  passwordSecret: password("that user's"),
  prefix: text(64, /^[^\s{}]+$/)
    .default("adtally:")
    .describe("What the names of all keys begin with."),
  tls: tls("Redis'"),
});

export const backends = {
  redpanda: redpanda.describe("The click log: Redpanda or Kafka."),
  clickhouse: clickhouse.describe("Counts, and the raw clicks."),
  redis: redis.describe("The fast copy of what all programs share."),
  tls: z
    .object({
      secretName: dnsName.describe(
        "Secret (kubernetes.io/tls, with ca.crt) of the programs' own certificate.",
      ),
    })
    .optional()
    .describe("Mutual TLS between adtally's programs; plain gRPC where unset."),
};
