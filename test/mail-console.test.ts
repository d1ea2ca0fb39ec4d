import Fastify from 'fastify'
import swagger from '@fastify/swagger'
import t from 'tap'
import { memory } from '../lib/entries/memory.js'
import users, { usersOpenapi, type UsersOptions } from '../lib/index.js'
import { ARTHUR, backends, buildApp, fastPasswords, SECRET } from './helpers/build-app.js'

const PATH = '/dev/mail'
const consoleOptions = (): UsersOptions => ({
  adapter: memory(),
  secret: SECRET,
  backends: backends(),
  passwords: fastPasswords,
  mail: 'console'
})

t.test('a mail is logged and shown at /dev/mail', async (t) => {
  const log: string[] = []
  const built = await buildApp(t, { mail: 'console' }, undefined, {
    logger: { level: 'info', stream: { write: (line: string) => { log.push(line) } } }
  })
  t.match(log.join(''), /"level":40.*mails are not sent/)
  t.match((await built.send('GET', PATH)).body, 'No mails yet')
  await built.register()
  const token = await built.tokenOf('onAfterRequestVerify')
  await built.send('POST', '/auth/forgot-password', { email: ARTHUR })
  await built.app.users.settled()
  const mails = log.filter((line) => line.includes('a mail')).map((line) => JSON.parse(line) as Record<string, unknown>)
  t.match(mails, [
    { level: 30, mail: { kind: 'verify', to: ARTHUR, text: new RegExp(`http://localhost/verify#${token}`) } },
    { level: 30, mail: { kind: 'resetPassword', to: ARTHUR, subject: 'Set a new password for localhost' } }
  ])

  const list = await built.send('GET', PATH)
  t.equal(list.headers['content-type'], 'text/html; charset=utf-8')
  t.match(list.body, /Set a new password for localhost.*Confirm your e-mail for localhost/s, 'the newest is first')
  t.match(list.body, `href="${PATH}/1"`)
  const page = await built.send('GET', `${PATH}/1`)
  t.match(page.body, `<a href="http://localhost/verify#${token}" rel="noreferrer">`)
  t.match(page.body, `<iframe sandbox src="${PATH}/1/html"`)
  const html = await built.send('GET', `${PATH}/1/html`)
  t.match(html.body, `href="http://localhost/verify#${token}"`)
  for (const path of ['/3', '/0', '/-1', '/x', '/1e0x', '/1/text', '/3/html', '/__proto__']) {
    t.equal((await built.send('GET', PATH + path)).statusCode, 404, path)
  }
  for (const method of ['POST', 'HEAD', 'PUT'] as const) {
    t.equal((await built.send(method, PATH)).statusCode, 404, method)
  }
})

t.test('the pages have strict policies, and the HTML of a mail is sandboxed', async (t) => {
  const built = await buildApp(t, { mail: 'console' })
  await built.register()
  await built.app.users.settled()
  const policyOf = async (path: string): Promise<Record<string, string>> => {
    const { headers } = await built.send('GET', PATH + path)
    t.match(headers, {
      'cache-control': 'no-store',
      'referrer-policy': 'no-referrer',
      'x-content-type-options': 'nosniff',
      'cross-origin-resource-policy': 'same-origin'
    })
    const policy = String(headers['content-security-policy']).split('; ')
    return Object.fromEntries(policy.map((directive) => directive.split(/ (.*)/s).slice(0, 2)))
  }
  for (const path of ['', '/1', '/9']) {
    const policy = await policyOf(path)
    t.match(policy, { 'default-src': "'none'", 'frame-ancestors': "'none'", 'form-action': "'none'", 'base-uri': "'none'" })
    t.match(policy['style-src'], /^'sha256-[\w+/]+='$/)
    t.notMatch(Object.keys(policy), ['script-src'])
  }
  const policy = await policyOf('/1/html')
  t.match(policy, { 'default-src': "'none'", 'frame-ancestors': "'self'", 'form-action': "'none'" })
  t.ok('sandbox' in policy && policy['sandbox'] === undefined, 'sandbox without exceptions')
})

t.test('text of mails is escaped on the pages', async (t) => {
  const hostile = '</title></pre><script>alert(1)</script>"\'<'
  const built = await buildApp(t, {
    mail: {
      send: 'console',
      from: '"<i>" <a@b.example>',
      templates: { verify: () => ({ subject: hostile, text: `${hostile}\nhttps://x.example/"onclick=1\n`, html: hostile }) }
    }
  })
  await built.register()
  await built.app.users.settled()
  for (const path of [PATH, `${PATH}/1`]) {
    const { body } = await built.send('GET', path)
    t.notMatch(body, /<script|<i>|"onclick/, path)
    t.match(body, '&lt;script&gt;alert(1)&lt;/script&gt;&quot;&#39;&lt;')
  }
  t.equal((await built.send('GET', `${PATH}/1/html`)).body, hostile, 'the policy makes it harmless')
})

t.test('requests from other machines, with other hosts, and through proxies are refused', async (t) => {
  const built = await buildApp(t, { mail: 'console' }, undefined, { trustProxy: true })
  await built.register()
  await built.app.users.settled()
  const ask = async (remoteAddress: string, headers: Record<string, string>): Promise<number> =>
    (await built.app.inject({ url: `${PATH}/1`, remoteAddress, headers })).statusCode
  for (const host of ['localhost', 'localhost:3000', '127.0.0.1:3000', '127.1.2.3', '[::1]:3000', 'app.localhost:3000', 'LOCALHOST']) {
    t.equal(await ask('127.0.0.1', { host }), 200, host)
  }
  for (const ip of ['::1', '::ffff:127.0.0.1', '127.9.9.9']) t.equal(await ask(ip, { host: 'localhost' }), 200, ip)
  for (const ip of ['203.0.113.7', '192.168.0.2', '10.0.0.1', '2001:db8::1', '::ffff:10.0.0.1', '1127.0.0.1']) {
    t.equal(await ask(ip, { host: 'localhost' }), 403, ip)
  }
  for (const host of ['evil.example', 'localhost.evil.example', '127.0.0.1.evil.example', 'evil.example:80', 'a.b.localhost.', 'localhost@evil.example']) {
    t.equal(await ask('127.0.0.1', { host }), 403, host)
  }
  t.equal(await ask('127.0.0.1', { host: 'localhost', 'x-forwarded-for': '127.0.0.1' }), 403)
  t.equal(await ask('127.0.0.1', { host: 'localhost', forwarded: 'for=127.0.0.1' }), 403)
})

t.test('the process keeps the last 100 mails, and 5 million characters at most', async (t) => {
  const built = await buildApp(t, { mail: 'console' })
  await built.create({ is_verified: true })
  for (let sent = 0; sent < 103; sent++) await built.app.users.forgotPassword(ARTHUR)
  await built.app.users.settled()
  const ids = async (): Promise<number[]> =>
    [...(await built.send('GET', PATH)).body.matchAll(/href="\/dev\/mail\/(\d+)"/g)].map(([, id]) => Number(id))
  t.same(await ids(), Array.from({ length: 100 }, (_, i) => 103 - i))
  t.equal((await built.send('GET', `${PATH}/3`)).statusCode, 404)
  t.equal((await built.send('GET', `${PATH}/4`)).statusCode, 200)

  const large = await buildApp(t, {
    mail: {
      send: 'console',
      templates: { resetPassword: () => ({ subject: 'Large', text: 'a'.repeat(2_000_000), html: '' }) }
    }
  })
  await large.create({ is_verified: true })
  for (let sent = 0; sent < 4; sent++) await large.app.users.forgotPassword(ARTHUR)
  await large.app.users.settled()
  t.same([...(await large.send('GET', PATH)).body.matchAll(/mail\/(\d+)"/g)].map(([, id]) => id), ['4', '3'])
})

t.test('links begin with publicUrl, or with the URL at which the process listens', async (t) => {
  const textOf = async (options: UsersOptions, listens: boolean): Promise<[string, string]> => {
    const app = Fastify()
    t.teardown(() => app.close())
    await app.register(users, options)
    if (listens) await app.listen({ port: 0, host: '127.0.0.1' })
    const payload = { email: ARTHUR, password: 'guinevere-1' }
    await app.inject({ method: 'POST', url: '/auth/register', headers: { host: 'evil.example' }, payload })
    await app.users.settled()
    const { body } = await app.inject(`${PATH}/1`)
    return [body, listens ? new URL(app.listeningOrigin).port : '']
  }
  const [local, port] = await textOf(consoleOptions(), true)
  t.match(local, `href="http://localhost:${port}/verify#`)
  t.notMatch(local, 'evil')
  const [configured] = await textOf({ ...consoleOptions(), publicUrl: 'https://app.example.com/a' }, true)
  t.match(configured, 'href="https://app.example.com/a/verify#')
})

t.test('tenants have separate pages, and without console there are none', async (t) => {
  const app = Fastify()
  t.teardown(() => app.close())
  for (const name of ['staff', 'customers']) {
    const routes = { auth: { prefix: `/${name}/auth` }, register: { prefix: `/${name}/auth` }, reset: false, verify: false, users: false } as const
    await app.register(async (scope) => {
      await scope.register(users, { ...consoleOptions(), name, routes })
    })
  }
  await app.ready()
  await app.inject({ method: 'POST', url: '/customers/auth/register', payload: { email: ARTHUR, password: 'guinevere-1' } })
  await new Promise(setImmediate)
  t.match((await app.inject(PATH)).body, 'No mails yet')
  t.equal((await app.inject(`${PATH}-customers`)).statusCode, 200)

  const inScope = Fastify()
  t.teardown(() => inScope.close())
  await inScope.register(async (scope) => { await scope.register(users, consoleOptions()) }, { prefix: '/court' })
  t.equal((await inScope.inject('/court/dev/mail')).statusCode, 200)
  const without = await buildApp(t)
  t.equal((await without.send('GET', PATH)).statusCode, 404)
})

t.test('the OpenAPI document does not contain the pages', async (t) => {
  const app = Fastify()
  t.teardown(() => app.close())
  const options = consoleOptions()
  const { openapi, transformObject } = usersOpenapi(options)
  await app.register(swagger, { openapi: { ...openapi, info: { title: 'A', version: '1' } }, transformObject })
  await app.register(users, options)
  await app.ready()
  t.notMatch(Object.keys(app.swagger().paths ?? {}).join(), 'dev/mail')
})
