/** `adtally keys`: who may call the API. */
import { Option, type Command } from "commander";
import { SCOPES } from "../../../actors/ports/key-store.ts";
import { runs, textOf, type Run } from "../command.ts";
import { safe } from "../text/table.ts";

interface Key {
  readonly key_id: string;
  readonly name: string;
  readonly scopes: readonly string[];
  readonly created_at: string;
  readonly advertisers?: "all" | readonly string[];
  readonly expires_at?: string | null;
  readonly last_used_at?: string | null;
}

export function addKeys(program: Command): void {
  const keys = program.command("keys").description("API keys: who may call, and what for");
  runs(
    keys
      .command("create")
      .description("make a key; its text is told once, here")
      .requiredOption("--name <name>", "for people")
      .addOption(new Option("--scope <scope...>", "what it may do").choices(SCOPES).makeOptionMandatory())
      .option("--advertisers <id,…>", "whose ads, counts and clicks it may see; or all")
      .option("--expires-at <time>", "refused from then on; RFC 3339"),
    create,
  );
  runs(keys.command("list").description("the keys that may call, without their texts"), list);
  runs(keys.command("revoke").description("refuse a key from now on").argument("<key-id>"), revoke);
}

const create: Run = async ({ gateway, output }, options) => {
  const advertisers = textOf(options, "advertisers");
  const expiresAt = textOf(options, "expiresAt");
  const body = {
    name: options["name"],
    scopes: options["scope"],
    ...(advertisers !== undefined && {
      advertisers: advertisers === "all" ? advertisers : advertisers.split(","),
    }),
    ...(expiresAt !== undefined && { expires_at: expiresAt }),
  };
  const made = await gateway.ask<Key & { readonly key: string }>("POST", "/v1/keys", body);
  if (output.isJson) {
    output.json(made);
    return;
  }
  output.note(
    `key ${made.key_id} "${safe(made.name)}" may ${made.scopes.join(", ")}; this is its text, told once:`,
  );
  // Alone on standard output, so that it can be piped into a file of secrets.
  output.say(made.key);
};

const list: Run = async ({ gateway, output }) => {
  const answer = await gateway.ask<{ readonly keys: readonly Key[] }>("GET", "/v1/keys");
  if (output.isJson) {
    output.json(answer);
    return;
  }
  output.table(
    [
      { name: "key" },
      { name: "name" },
      { name: "scopes" },
      { name: "advertisers" },
      { name: "created" },
      { name: "last used" },
      { name: "expires" },
    ],
    answer.keys.map((key) => [
      key.key_id,
      safe(key.name),
      key.scopes.join(" "),
      typeof key.advertisers === "string" ? key.advertisers : (key.advertisers ?? []).join(" "),
      key.created_at,
      key.last_used_at ?? "",
      key.expires_at ?? "never",
    ]),
  );
  if (answer.keys.length === 0) output.note("no keys but the admin's own, which is not kept with them");
};

const revoke: Run = async ({ gateway, output }, _options, [id = ""]) => {
  await gateway.ask<undefined>("DELETE", `/v1/keys/${encodeURIComponent(id)}`);
  if (output.isJson) output.json({ key_id: id, revoked: true });
  else output.say(`key ${id} is revoked`);
};
