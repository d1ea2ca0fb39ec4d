import type { ParseArgsConfig } from 'node:util'

/** 0: done; 1: refused or failed; 2: called in a wrong way. */
export type ExitCode = 0 | 1 | 2

/** Where a command runs, reads and writes. */
export interface Terminal {
  /** The folder that files are looked up in. */
  readonly cwd: string
  /** Writes a line of the result. */
  print(line: string): void
  /** Whether a person can be asked. */
  readonly interactive: boolean
  /** Asks a person, without echo; else reads the line that is piped in. Null when there is none. */
  readSecret(question: string): Promise<string | null>
  /** Writes a line about what went wrong. */
  complain(line: string): void
}

/** Options as they were given, by name. */
export type Values = Readonly<Record<string, string | boolean | readonly string[] | undefined>>

/** One command of the program. */
export interface Command {
  /** One line for the list of commands. */
  readonly summary: string
  readonly help: string
  readonly options: NonNullable<ParseArgsConfig['options']>
  run(values: Values, terminal: Terminal): Promise<ExitCode>
}
