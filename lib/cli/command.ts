import type { ParseArgsConfig } from 'node:util'

/** 0: success; 1: refused or failed; 2: wrong usage. */
export type ExitCode = 0 | 1 | 2

/** The working folder, input and output of a command. */
export interface Terminal {
  /** Working folder. Relative file names are resolved against it. */
  readonly cwd: string
  /** Writes a line to the standard output. */
  print(line: string): void
  /** True if the input is a terminal, so that a person can answer questions. */
  readonly interactive: boolean
  /**
   * Returns a secret: asked for without echo on a terminal, otherwise the first line of the piped input. Returns null
   * if the input is empty.
   */
  readSecret(question: string): Promise<string | null>
  /** Writes a line to the standard error. */
  printError(line: string): void
}

/** Parsed command-line options, by name. */
export type Values = Readonly<Record<string, string | boolean | readonly string[] | undefined>>

/** One command of the program. */
export interface Command {
  /** Description for the list of commands, in one line. */
  readonly summary: string
  /** Text that `--help` prints. */
  readonly help: string
  readonly options: NonNullable<ParseArgsConfig['options']>
  run(values: Values, terminal: Terminal): Promise<ExitCode>
}

/** Prints why a command did nothing and returns its exit code. */
export function failWith (terminal: Terminal, problem: string, code: ExitCode = 1): ExitCode {
  terminal.printError(`fastify-users: ${problem}`)
  return code
}
