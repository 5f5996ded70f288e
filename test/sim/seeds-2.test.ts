import { describeSeeds } from "./seeds.ts";

// A file of its own, for the other worker.
describeSeeds(2, 2);
