/** `adtally doctor`: looks at every program and backend that it is told of, and says what to do. */
import type { Command } from "commander";
import { addSettings, runs } from "../command.ts";
import { checkBackends } from "../doctor/backends.ts";
import type { Status } from "../doctor/finding.ts";
import { checkPrograms } from "../doctor/programs.ts";
import { EXIT, Failure } from "../failure.ts";
import { doctorSettings } from "../settings.ts";
import { safe } from "../text/table.ts";

export function addDoctor(program: Command): void {
  const doctor = program
    .command("doctor")
    .description(
      "look at gateway, query service, key, shards, clocks and versions, and at each backend that is named",
    );
  addSettings(doctor, doctorSettings);
  runs(doctor, async (context) => {
    const { output } = context;
    const { paint } = output;
    const found = await Promise.all([checkPrograms(context), checkBackends(context)]);
    const findings = found.flat();
    const isWell = !findings.some(({ status }) => status === "failed");
    const marks: Record<Status, string> = {
      ok: paint.green("ok"),
      warning: paint.yellow("warning"),
      failed: paint.red("failed"),
      skipped: paint.dim("skipped"),
    };
    if (output.isJson) output.json({ ok: isWell, findings });
    else
      output.table(
        [{ name: "" }, { name: "check" }, { name: "finding" }],
        findings.flatMap(({ check, detail, remedy, status }) => [
          [marks[status], check, safe(detail)],
          ...(remedy === null ? [] : [["", "", paint.dim(`→ ${safe(remedy)}`)]]),
        ]),
      );
    if (isWell) return;
    const count = findings.filter(({ status }) => status === "failed").length;
    throw new Failure(EXIT.failed, "UNWELL", count === 1 ? "one check failed" : `${count} checks failed`);
  });
}
