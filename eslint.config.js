/** Type-aware lint. What a formatter or the compiler finds already is left to them. */
import tseslint from "typescript-eslint";

/** Time, timers and randomness are arguments, so that a simulator can bring its own. */
const AMBIENT = [
  ["CallExpression[callee.object.name='Date'][callee.property.name='now']", "Date.now"],
  ["NewExpression[callee.name='Date'][arguments.length=0]", "new Date() without an argument"],
  ["CallExpression[callee.object.name='performance'][callee.property.name='now']", "performance.now"],
  ["CallExpression[callee.object.name='process'][callee.property.name='hrtime']", "process.hrtime"],
  [
    "CallExpression[callee.object.object.name='process'][callee.object.property.name='hrtime']",
    "process.hrtime",
  ],
  ["CallExpression[callee.object.name='Math'][callee.property.name='random']", "Math.random"],
  ["CallExpression[callee.name=/^set(Timeout|Interval|Immediate)$/]", "a timer"],
].map(([selector, what]) => ({
  selector,
  message: `${what} belongs to actors/runtime and the adapters: take a Clock or RandomBytes as an argument.`,
}));

const OUTSIDE = ["cmd/**", "loadtest/**", "scripts/**", "testing/**"];
const TESTS = ["**/*.test.ts", "**/*.conformance.ts"];

export default tseslint.config(
  { ignores: ["node_modules/", ".adtally/", ".cache/", "loadtest/out/"] },
  {
    files: ["**/*.ts"],
    extends: [tseslint.configs.base],
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    linterOptions: { reportUnusedDisableDirectives: "error" },
    rules: {
      "no-restricted-syntax": ["error", ...AMBIENT],
      eqeqeq: "error",
      "no-console": "error",
      "no-var": "error",
      "prefer-const": "error",
      "@typescript-eslint/await-thenable": "error",
      "@typescript-eslint/ban-ts-comment": "error",
      "@typescript-eslint/consistent-type-imports": "error",
      "@typescript-eslint/no-explicit-any": "error",
      "@typescript-eslint/no-floating-promises": "error",
      "@typescript-eslint/no-for-in-array": "error",
      "@typescript-eslint/no-misused-promises": "error",
      "@typescript-eslint/no-unsafe-argument": "error",
      "@typescript-eslint/no-unsafe-assignment": "error",
      "@typescript-eslint/no-unsafe-call": "error",
      "@typescript-eslint/no-unsafe-member-access": "error",
      "@typescript-eslint/no-unsafe-return": "error",
      "@typescript-eslint/only-throw-error": "error",
      "@typescript-eslint/prefer-promise-reject-errors": ["error", { allowThrowingUnknown: true }],
      "@typescript-eslint/switch-exhaustiveness-check": "error",
      "no-restricted-exports": ["error", { restrictDefaultExports: { direct: true, named: true } }],
    },
  },
  {
    // The programs, what drives them from outside, and the simulator's own clock live in real time.
    files: ["actors/runtime/**", "actors/adapters/**", "actors/sim/virtual-clock.ts", ...OUTSIDE, ...TESTS],
    rules: { "no-restricted-syntax": "off" },
  },
  { files: [...OUTSIDE, ...TESTS], rules: { "no-console": "off" } },
  {
    // Tests read answers as their clients do, untyped; a wrong guess shows as a red test.
    files: TESTS,
    rules: Object.fromEntries(
      ["argument", "assignment", "call", "member-access", "return"].map((what) => [
        `@typescript-eslint/no-unsafe-${what}`,
        "off",
      ]),
    ),
  },
  // A driver's declarations say what it exports.
  { files: ["*.config.ts", "**/*.d.ts"], rules: { "no-restricted-exports": "off" } },
);
