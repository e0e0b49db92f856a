import { catalogueConformance } from "../../ports/catalogue.conformance.ts";
import { createMemoryCatalogue } from "./memory-catalogue.ts";

catalogueConformance(
  "memory",
  async () => ({ catalogue: createMemoryCatalogue(), close: async () => {} }),
  true,
);
