/**
 * Role bindings and cluster role bindings: subjects of a namespace that is restored under another name are meant there.
 * Proof: test/restore/actions.test.ts.
 * @module
 */
import { type Action, targetNamespace } from "./action.ts";

interface Subject {
  readonly namespace?: string;
}

export const restoreRoleBinding: Action = (object, { restore }) => {
  const subjects = object["subjects"] as readonly Subject[] | undefined;
  if (subjects === undefined) return object;
  const moved = ({ namespace, ...subject }: Subject): Subject =>
    namespace ? { ...subject, namespace: targetNamespace(restore, namespace) } : subject;
  return { ...object, subjects: subjects.map(moved) };
};
