import { parseArgs } from 'node:util'
import type { Command, Values } from './command.js'

/** The options of a command, or what is wrong with them. Every command has `--help`. */
export function readArguments ({ options }: Command, args: readonly string[]): { values: Values } | { problem: string } {
  try {
    const { values } = parseArgs({ args: [...args], options: { ...options, help: { type: 'boolean', short: 'h' } }, allowPositionals: false })
    return { values: values as Values }     // no option may be given several times
  } catch (error) {
    return { problem: messageOf(error) }
  }
}

/** The first line of an error's message. */
export function messageOf (error: unknown): string {
  return String(error instanceof Error ? error.message : error).replace(/\n[^]*/, '')
}
