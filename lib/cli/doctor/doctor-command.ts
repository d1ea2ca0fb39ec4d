import { memory } from '../../adapters/memory/index.js'
import { schemaOf, withApplication } from '../application.js'
import { messageOf } from '../arguments.js'
import type { Command, ExitCode, Terminal, Values } from '../command.js'
import { CONFIG_FILE, loadConfig, type Config } from '../config.js'
import { checkCookie, checkStrategy, prepareCookies, type SentCookie } from './backend-checks.js'
import type { Finding } from './finding.js'
import { checkOrigins, checkSecrets } from './settings-checks.js'
import { checkFile, checkStore } from './store-checks.js'

const HELP = `Usage: fastify-users doctor [options]

Looks at the options of the application and at its stores, and says what is wrong with
them: secrets, tables, columns and indexes, clocks, cookies, origins, stores that do not
answer. Changes nothing. Each line begins with ok, warn or fail.

  --json          Prints a list of { level, about, text }.
  --config FILE   The options of the application (${CONFIG_FILE}).
  --help          Shows this.

Exit codes: 0 nothing failed, 1 something failed, 2 called in a wrong way.`

/** `fastify-users doctor`. */
export const doctorCommand: Command = {
  summary: 'Looks for what is wrong with the options and the stores.',
  help: HELP,
  options: { config: { type: 'string', default: CONFIG_FILE }, json: { type: 'boolean' } },

  async run (values, terminal) {
    const config = await loadConfig(String(values['config']), terminal.cwd)
    if ('problem' in config) {
      return report([{ level: 'fail', about: 'config', text: config.problem }], values, terminal, config.code)
    }
    try {
      return report(await examine(config), values, terminal)
    } catch (error) {
      return report(
        [{ level: 'fail', about: 'config', text: `${config.file} cannot be used: ${messageOf(error)}` }],
        values,
        terminal
      )
    }
  }
}

/** The application runs on a store of its own, because opening the configured one may make tables. */
async function examine (config: Config): Promise<readonly Finding[]> {
  const { settings, secrets, options } = config
  return await withApplication({ ...config, options: { ...options, adapter: memory() } }, async ({ app, models }) => {
    const cookiesOf = prepareCookies(app)
    await app.ready()
    const findings: Finding[] = [
      ...checkSecrets(secrets, settings),
      ...(await checkStore(schemaOf(config), models)),
      ...(await checkFile(options.adapter))
    ]
    const all: SentCookie[] = []
    for (const backend of app.users.backends.values()) {
      const cookies = await cookiesOf(backend)
      all.push(...cookies)
      findings.push(
        ...(await checkStrategy(backend)),
        ...cookies.flatMap((cookie) => checkCookie(backend.name, cookie, settings))
      )
    }
    return [...findings, ...checkOrigins(settings, all)]
  })
}

function report (findings: readonly Finding[], { json }: Values, terminal: Terminal, failed: ExitCode = 1): ExitCode {
  if (json === true) terminal.print(JSON.stringify(findings, null, 2))
  else for (const { level, about, text } of findings) terminal.print(`${level.padEnd(5)} ${about}: ${text}`)
  return findings.some(({ level }) => level === 'fail') ? failed : 0
}
