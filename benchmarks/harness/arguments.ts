import { parseArgs } from 'node:util'

/** The parsed command line. */
export interface Arguments {
  /** Names of the cases. An empty list selects all. */
  names: readonly string[]
  rounds: number
  milliseconds: number
  connections: number
  /** Time limit of the rounds, in minutes. */
  minutes: number
  /** Adds the results to `results.json`, the table and the chart. A run of all cases does so anyway. */
  save: boolean
  /** Measures only cases that `results.json` does not contain. */
  missing: boolean
}

export const USAGE = `npm run bench -- [options] [case …]

Without names, all cases are measured, and results.json, the table and the chart are written.
A name that ends with * stands for all cases that begin with it.
growth and memory are measured only if they are named.

  --rounds N         rounds (default 11)
  --milliseconds M   length of a slot (default 350)
  --connections C    connections of the load generator (default 64)
  --minutes T        no round begins later than this (default 12)
  --thorough         41 rounds, slots of 500 ms, no time limit
  --save             also write the results of some cases
  --missing          measure only cases that results.json does not contain
  --list             print the names of all cases`

/** Reads the command line. Throws an error with a readable message for unknown options. */
export function readArguments (args: readonly string[]): Arguments & { help: boolean; list: boolean } {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      rounds: { type: 'string' },
      milliseconds: { type: 'string' },
      connections: { type: 'string' },
      minutes: { type: 'string' },
      thorough: { type: 'boolean', default: false },
      save: { type: 'boolean', default: false },
      missing: { type: 'boolean', default: false },
      list: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false }
    }
  })
  const { thorough } = values
  return {
    names: positionals,
    rounds: readNumber('rounds', values.rounds, thorough ? 41 : 11),
    milliseconds: readNumber('milliseconds', values.milliseconds, thorough ? 500 : 350),
    connections: readNumber('connections', values.connections, 64),
    minutes: readNumber('minutes', values.minutes, thorough ? 24 * 60 : 12),
    save: values.save || positionals.length === 0,
    missing: values.missing,
    list: values.list,
    help: values.help
  }
}

function readNumber (name: string, text: string | undefined, usual: number): number {
  if (text === undefined) return usual
  const value = Number(text)
  if (!(value > 0)) throw new Error(`--${name} must be a positive number`)
  return value
}
