import { parseArgs } from 'node:util'
import type { Command, Values } from './command.js'
import { messageOf } from './error-messages.js'

/** Parses the options of a command, and `--help`. Returns `problem` if they are invalid. */
export function readArguments (
  { options }: Command,
  args: readonly string[]
): { values: Values } | { problem: string } {
  try {
    const { values } = parseArgs({
      args: [...args],
      options: { ...options, help: { type: 'boolean', short: 'h' } },
      allowPositionals: false
    })
    return { values: values as Values } // only string options are `multiple`
  } catch (error) {
    return { problem: messageOf(error) }
  }
}
