/**
 * The object that is created for one of the backup: reduced to what it is in any cluster, changed by the actions of its kind and by
 * the modifiers of the Restore, in its new namespace, with labels that tell where it comes from. Pure.
 * Proof: test/restore/actions.test.ts.
 * @module
 */
import {
  type Action,
  type ActionContext,
  type AnyObject,
  Leave,
  withField,
} from "./actions/action.ts";
import { actionsOf } from "./actions/actions.ts";
import { withoutOrigin, withRestoreLabels } from "./existing.ts";
import type { PlannedItem } from "./plan-restore.ts";
import { applyResourceModifiers, type ModifierRule } from "./resource-modifier.ts";

export interface PreparedItem {
  readonly object: AnyObject;
  /** Modifiers that could not be applied; the object is created without them. */
  readonly errors: readonly string[];
}

export function prepareItem(
  { namespace, resource, source }: PlannedItem,
  context: Omit<ActionContext, "source" | "namespace">,
  modifiers: readonly ModifierRule[],
): PreparedItem | Leave {
  // Actions may ask who manages a field.
  const { managedFields } = source.metadata;
  const bare = withoutOrigin(source);
  let object: AnyObject | Leave = managedFields
    ? { ...bare, metadata: { ...bare.metadata, managedFields } }
    : bare;
  for (const action of actionsOf(resource)) {
    object = performed(action, object, { ...context, source, namespace });
    if (object instanceof Leave) return object;
  }
  const modified = applyResourceModifiers(modifiers, resource, withoutOrigin(object));
  const { namespace: _old, ...metadata } = modified.object.metadata;
  const placed = withField(modified.object, "metadata", {
    ...metadata,
    ...(namespace && { namespace }),
  });
  return { object: withRestoreLabels(placed, context.restore), errors: modified.errors };
}

/** What the tarball calls a pod may be anything. */
function performed(action: Action, object: AnyObject, context: ActionContext): AnyObject | Leave {
  try {
    return action(object, context);
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    return new Leave("failed", `it has not the fields of its kind: ${error.message}`);
  }
}
