/** What a node can tell about its own place on `gossip.allow`. */

/**
 * The list is meant to be the same on every node, so a node that its own list leaves out is refused by the others. It is
 * not an error: a list may be reloaded here first, with this node's successor on it.
 * @returns the warning, undefined if the node is listed or there is no list
 */
export function missingSelf(allow: readonly string[] | undefined, id: string): string | undefined {
  if (allow === undefined || allow.includes(id)) return undefined
  return `gossip.allow does not list this node itself (${id}): nodes with the same list refuse it`
}
