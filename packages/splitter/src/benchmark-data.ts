export { type GoRandom, goRandom } from "./go-rand.ts";
