import type { ParseArgsConfig } from 'node:util'

/** 0: as asked; 1: something must be done first; 2: the call or the config is wrong. */
export type ExitCode = 0 | 1 | 2

/** Where a command runs and writes. Commands ask nothing, so that they run without a terminal. */
export interface Terminal {
  /** The folder that files are looked up in. */
  readonly cwd: string
  /** Writes a line of the result. */
  print(line: string): void
  /** Writes a line about what went wrong. */
  complain(line: string): void
}

/** Options as they were given, by name. */
export type Values = Readonly<Record<string, string | boolean | undefined>>

/** One command of the program. */
export interface Command {
  /** One line for the list of commands. */
  readonly summary: string
  readonly help: string
  readonly options: NonNullable<ParseArgsConfig['options']>
  run(values: Values, terminal: Terminal): Promise<ExitCode>
}
