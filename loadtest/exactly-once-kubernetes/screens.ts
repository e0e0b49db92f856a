/** What a person would see with kubectl at some moments of the run, for the docs. */
import type { Kubectl } from "../../testing/kubernetes/kubectl.ts";

const COMMANDS = [
  ["get", "clickclusters,hotadsplits"],
  ["get", "pods"],
  [
    "get",
    "events",
    "--field-selector=involvedObject.kind=ClickCluster,reason!=Applied",
    "--sort-by=.metadata.creationTimestamp",
  ],
] as const;

export interface Screens {
  take(when: string): Promise<void>;
  /** As Markdown. */
  readonly text: string;
}

export function createScreens(kubectl: Kubectl): Screens {
  let text = "";
  return {
    get text() {
      return text;
    },
    async take(when) {
      for (const command of COMMANDS) {
        const said = await kubectl([...command]).catch(String);
        text += `${when}:\n\n\`\`\`console\n$ kubectl ${command.join(" ")}\n${said.trimEnd()}\n\`\`\`\n\n`;
      }
    },
  };
}
