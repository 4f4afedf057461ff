/**
 * The reference controller: one program, a role for every process of the data mover.
 * @module
 */
export {};
