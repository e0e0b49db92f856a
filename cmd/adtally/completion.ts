/**
 * Shell completion, made of the commands as they are: a script that knows them all, so that a tab
 * starts no process. Pure.
 */
import type { Command } from "commander";

export const SHELLS = ["bash", "zsh", "fish"] as const;
export type Shell = (typeof SHELLS)[number];

interface Word {
  readonly word: string;
  readonly help: string;
}

interface Place {
  /** `dead-letters list`; empty for the command itself. */
  readonly at: string;
  readonly commands: readonly Word[];
  readonly flags: readonly (Word & { readonly choices: readonly string[]; readonly takesValue: boolean })[];
}

function placesOf(command: Command, root: Command, at = ""): readonly Place[] {
  const own = command === root ? [] : command.options;
  const flags = [...own, ...root.options].flatMap(({ argChoices, description, long, required }) =>
    typeof long === "string"
      ? [{ word: long, help: firstOf(description), choices: argChoices ?? [], takesValue: required }]
      : [],
  );
  const commands = command.commands.map((each) => ({ word: each.name(), help: firstOf(each.description()) }));
  return [
    { at, commands, flags },
    ...command.commands.flatMap((each) =>
      placesOf(each, root, at === "" ? each.name() : `${at} ${each.name()}`),
    ),
  ];
}

/** A line of a menu. */
const firstOf = (text: string): string =>
  text
    .split(/[;\n[]/)[0]!
    .trim()
    .replace(/['"`$\\]/g, "");
const words = (of: readonly Word[]): string => of.map(({ word }) => word).join(" ");

export function completionScript(root: Command, shell: Shell): string {
  const places = placesOf(root, root);
  switch (shell) {
    case "bash":
      return bash(places);
    case "zsh":
      return zsh(places);
    case "fish":
      return fish(places);
  }
}

const pathsOf = (places: readonly Place[]): string =>
  places
    .filter(({ at }) => at !== "")
    .map(({ at }) => `"${at}"`)
    .join("|");

function choicesOf(places: readonly Place[]): ReadonlyMap<string, readonly string[]> {
  const all = places.flatMap(({ flags }) => flags).filter(({ takesValue }) => takesValue);
  return new Map(all.map(({ choices, word }) => [word, choices]));
}

function bash(places: readonly Place[]): string {
  const values = [...choicesOf(places)].map(([flag, choices]) =>
    choices.length > 0
      ? `    ${flag}) COMPREPLY=($(compgen -W "${choices.join(" ")}" -- "$current")); return ;;`
      : `    ${flag}) COMPREPLY=($(compgen -f -- "$current")); return ;;`,
  );
  const cases = places.map(
    ({ at, commands, flags }) => `    "${at}") known="${words([...commands, ...flags])}" ;;`,
  );
  return `# adtally's completion for bash: source <(npx adtally completion bash)
_adtally() {
  local current="\${COMP_WORDS[COMP_CWORD]}" at="" next known="" word
  for word in "\${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    next="\${at:+$at }$word"
    case "$next" in
    ${pathsOf(places)}) at="$next" ;;
    esac
  done
  case "\${COMP_WORDS[COMP_CWORD-1]}" in
${values.join("\n")}
  esac
  case "$at" in
${cases.join("\n")}
  esac
  COMPREPLY=($(compgen -W "$known" -- "$current"))
  [[ \${#COMPREPLY[@]} -eq 0 && "$at" == "ads import" ]] && COMPREPLY=($(compgen -f -- "$current"))
}
complete -F _adtally adtally
`;
}

function zsh(places: readonly Place[]): string {
  const item = ({ help, word }: Word) => `'${word}:${help.replaceAll(":", "\\:")}'`;
  const values = [...choicesOf(places)].map(([flag, choices]) =>
    choices.length > 0
      ? `    ${flag}) compadd -- ${choices.join(" ")}; return ;;`
      : `    ${flag}) _files; return ;;`,
  );
  const cases = places.map(
    ({ at, commands, flags }) => `    "${at}") known=(${[...commands, ...flags].map(item).join(" ")}) ;;`,
  );
  return `#compdef adtally
# adtally's completion for zsh: source <(npx adtally completion zsh)
_adtally() {
  local at="" next="" word
  local -a known
  for word in "\${(@)words[2,CURRENT-1]}"; do
    next="\${at:+$at }$word"
    case "$next" in
    ${pathsOf(places)}) at="$next" ;;
    esac
  done
  case "\${words[CURRENT-1]}" in
${values.join("\n")}
  esac
  case "$at" in
${cases.join("\n")}
  esac
  _describe adtally known
  [[ "$at" == "ads import" ]] && _files
}
compdef _adtally adtally
`;
}

function fish(places: readonly Place[]): string {
  const lines = places.flatMap(({ at, commands, flags }) => {
    const here = `-n '__adtally_at "${at}"'`;
    return [
      ...commands.map(({ help, word }) => `complete -c adtally -f ${here} -a ${word} -d '${help}'`),
      ...flags.map(({ choices, help, takesValue, word }) => {
        const value = !takesValue ? "" : choices.length > 0 ? ` -x -a '${choices.join(" ")}'` : " -r";
        return `complete -c adtally ${here} -l ${word.slice(2)}${value} -d '${help}'`;
      }),
    ];
  });
  return `# adtally's completion for fish: npx adtally completion fish | source
function __adtally_at
  set -l at ""
  set -l before (commandline -opc)
  for word in $before[2..]
    set -l next (string trim -- "$at $word")
    switch "$next"
      case ${pathsOf(places).replaceAll("|", " ")}
        set at "$next"
    end
  end
  test "$at" = "$argv[1]"
end
${lines.join("\n")}
`;
}
