import { dirname, resolve } from 'node:path'
import { memory } from '../../adapters/memory/index.js'
import { modelsOf } from '../../models.js'
import { storeSchemaOf, withApplication } from '../application.js'
import type { Command, ExitCode, Terminal, Values } from '../command.js'
import { CONFIG_FILE, loadConfig, type Config } from '../config.js'
import { messageOf } from '../error-messages.js'
import { checkCookie, prepareCookies, probeStrategy, type SentCookie } from './backend-checks.js'
import type { Finding } from './finding.js'
import { checkKeys } from './key-checks.js'
import { checkLimits } from './limit-checks.js'
import { checkMail } from './mail-checks.js'
import { checkPackages } from './package-checks.js'
import { checkProxy } from './proxy-checks.js'
import { checkOrigins, checkSecrets } from './settings-checks.js'
import { checkFile, checkStore } from './store-checks.js'

const HELP = `Usage: fastify-users doctor [options]

Checks the options and stores of the application: secrets, keys, tables, columns,
indexes, clocks, limits, cookies, origins, proxy settings, versions of packages, and
whether the stores answer. It changes nothing. Each line begins with ok, warn or fail.

  --json          Prints a JSON array of { level, about, text }.
  --config FILE   Config file with the options of the application. Default:
                  ${CONFIG_FILE}.
  --help          Prints this text.

Exit codes: 0 no check failed, 1 a check failed, 2 wrong usage.`

/** The command `fastify-users doctor`. */
export const doctorCommand: Command = {
  summary: 'Checks the options and the stores for problems.',
  help: HELP,
  options: { config: { type: 'string', default: CONFIG_FILE }, json: { type: 'boolean' } },

  async run (values, terminal) {
    const config = await loadConfig(String(values['config']), terminal.cwd)
    if ('problem' in config) {
      return printFindings([{ level: 'fail', about: 'config', text: config.problem }], values, terminal, config.code)
    }
    try {
      return printFindings(await checkConfig(config, terminal.cwd), values, terminal)
    } catch (error) {
      return printFindings(
        [{ level: 'fail', about: 'config', text: `${config.file} cannot be used: ${messageOf(error)}` }],
        values,
        terminal
      )
    }
  }
}

/**
 * Runs all checks of a config. The application runs with a memory store, because opening the configured store may
 * create tables.
 */
async function checkConfig (config: Config, cwd: string): Promise<readonly Finding[]> {
  const { settings, secrets, options } = config
  return await withApplication({ options: { ...options, adapter: memory() } }, async (app) => {
    const cookiesOf = prepareCookies(app)
    await app.ready()
    const profile = app.users.securityProfile()
    const findings: Finding[] = [
      ...checkSecrets(secrets, settings),
      ...(await checkStore(storeSchemaOf(config), modelsOf(options, settings))),
      ...(await checkFile(options.adapter)),
      ...checkKeys(profile),
      ...checkLimits(settings),
      ...checkMail(options),
      ...checkProxy(config.server, profile),
      ...checkPackages(dirname(resolve(cwd, config.file)))
    ]
    const allCookies: SentCookie[] = []
    for (const backend of app.users.backends.values()) {
      const cookies = await cookiesOf(backend)
      allCookies.push(...cookies)
      findings.push(
        ...(await probeStrategy(backend)),
        ...cookies.flatMap((cookie) => checkCookie(backend.name, cookie, settings))
      )
    }
    return [...findings, ...checkOrigins(settings, allCookies)]
  })
}

/** Prints the findings. Returns `failureCode` if a check failed, otherwise 0. */
function printFindings (
  findings: readonly Finding[],
  { json }: Values,
  terminal: Terminal,
  failureCode: ExitCode = 1
): ExitCode {
  if (json === true) terminal.print(JSON.stringify(findings, null, 2))
  else for (const { level, about, text } of findings) terminal.print(`${level.padEnd(5)} ${about}: ${text}`)
  return findings.some(({ level }) => level === 'fail') ? failureCode : 0
}
