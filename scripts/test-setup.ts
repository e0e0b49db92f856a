/** Runs before each test file: fast-check takes the run's seed (vitest.config.ts). */
import fc from "fast-check";

fc.configureGlobal({ seed: Number(process.env["ADTALLY_SEED"]) });
