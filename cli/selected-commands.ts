/**
 * The commands that this command line needs, in the form of oclif's `explicit` discovery: a map from id to class. oclif
 * imports this module by path and wants classes, not promises; hence the selection while the module is loaded.
 */
import type { Command } from '@oclif/core'
import { COMMANDS } from './commands.ts'
import { neededIds, resolveRequest } from './request.ts'

async function load(ids: readonly string[]): Promise<Record<string, Command.Class>> {
  const modules = await Promise.all(ids.map(async (id) => [id, (await COMMANDS[id]!()).default] as const))
  return Object.fromEntries(modules)
}

export const SELECTED_COMMANDS = await load(neededIds(resolveRequest(Object.keys(COMMANDS), process.argv.slice(2))))
