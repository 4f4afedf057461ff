export { type ContractOptions, type TestFunctions, testBlobStore } from "./testing/contract.ts";
export {
  type EventuallyConsistentOptions,
  type EventuallyConsistentStore,
  eventuallyConsistentStore,
} from "./testing/eventually-consistent.ts";
export {
  type CallPhase,
  type Fault,
  type FaultRule,
  type FaultyOptions,
  type FaultyStore,
  faultAt,
  faultInjected,
  faulty,
  type SeededFaultOptions,
  type StoreCall,
  type StoreOperation,
  seededFaults,
} from "./testing/faulty.ts";
