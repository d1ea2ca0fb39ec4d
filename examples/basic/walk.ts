import type { Mail } from './app.js'

/** One step: a title, and commands for a shell. */
export interface WalkStep {
  title: string
  commands: string[]
}

/** Returns the complete flow as curl commands. Mails contain tokens: `mailText` prints the commands that use them. */
export function walkSteps (origin: string, file: string): WalkStep[] {
  const json = "-H 'content-type: application/json'"
  const form = (password: string): string => `-d username=king.arthur@camelot.bt -d password=${password}`
  const field = (name: string): string => `sed 's/.*"${name}":"\\([^"]*\\)".*/\\1/'`
  return [
    {
      title: 'Register',
      commands: [
        `curl -i ${origin}/auth/register ${json} -d '{"email":"king.arthur@camelot.bt","password":"guinevere-1","display_name":"Arthur"}'`
      ]
    },
    {
      title: 'Log in with the bearer backend, then with the cookie backend',
      commands: [
        `TOKEN=$(curl -s ${origin}/auth/jwt/login ${form('guinevere-1')} | ${field('access_token')})`,
        'COOKIES=$(mktemp)',
        `curl -i -c $COOKIES ${origin}/auth/cookie/login ${form('guinevere-1')}`
      ]
    },
    {
      title: 'Use the token and the cookie, also on routes of the application',
      commands: [
        `curl -i ${origin}/users/me -H "authorization: Bearer $TOKEN"`,
        `curl -i -b $COOKIES ${origin}/hello`,
        `curl -i ${origin}/feed`
      ]
    },
    {
      title: 'Change the profile, then the password. The cookie is renewed, the bearer token is refused (401)',
      commands: [
        `curl -i -X PATCH -b $COOKIES ${origin}/users/me ${json} -d '{"display_name":"King Arthur"}'`,
        `curl -i -X PATCH -b $COOKIES -c $COOKIES ${origin}/users/me ${json} -d '{"password":"round-table-2","current_password":"guinevere-1"}'`,
        `curl -i -b $COOKIES ${origin}/hello`,
        `curl -i ${origin}/users/me -H "authorization: Bearer $TOKEN"`
      ]
    },
    {
      title: 'Request a verification, then run the command in the mail that this program prints (it ends all sessions)',
      commands: [`curl -i ${origin}/auth/request-verify-token ${json} -d '{"email":"king.arthur@camelot.bt"}'`]
    },
    {
      title: 'Request a password reset, then run the command in the printed mail',
      commands: [`curl -i ${origin}/auth/forgot-password ${json} -d '{"email":"king.arthur@camelot.bt"}'`]
    },
    {
      title: 'Make the user a superuser and log in with the new password',
      commands: [
        `USERS_DB=${file} node dist/examples/basic/superuser.js king.arthur@camelot.bt`,
        `curl -i -c $COOKIES ${origin}/auth/cookie/login ${form('excalibur-3')}`,
        `curl -i -b $COOKIES ${origin}/admin`
      ]
    },
    {
      title: 'Read, change and delete another user',
      commands: [
        `ID=$(curl -s ${origin}/auth/register ${json} -d '{"email":"mordred@camelot.bt","password":"guinevere-1"}' | ${field('id')})`,
        `curl -i -b $COOKIES ${origin}/users/$ID`,
        `curl -i -X PATCH -b $COOKIES ${origin}/users/$ID ${json} -d '{"credits":10,"is_active":false}'`,
        `curl -i -X DELETE -b $COOKIES ${origin}/users/$ID`
      ]
    },
    {
      title: 'Give another user a role. Its scopes open some routes and not others (403), also with an API key',
      commands: [
        `ID=$(curl -s ${origin}/auth/register ${json} -d '{"email":"lancelot@camelot.bt","password":"guinevere-1"}' | ${field('id')})`,
        `curl -i -X PUT -b $COOKIES ${origin}/users/$ID/role ${json} -d '{"role":"knight"}'`,
        `TOKEN=$(curl -s ${origin}/auth/jwt/login -d username=lancelot@camelot.bt -d password=guinevere-1 | ${field('access_token')})`,
        `curl -i ${origin}/quests -H "authorization: Bearer $TOKEN"`,
        `curl -i ${origin}/quests -H "authorization: Bearer $TOKEN" ${json} -d '{"quest":"Find the grail"}'`,
        `KEY=$(curl -s ${origin}/users/me/api-keys -H "authorization: Bearer $TOKEN" ${json} -d '{"name":"job","scopes":["quests:read"]}' | ${field('key')})`,
        `curl -i ${origin}/quests -H "x-api-key: $KEY"`,
        `curl -i ${origin}/throne -H "authorization: Bearer $TOKEN"`
      ]
    },
    {
      title: 'Log out. The cookie is then refused (401)',
      commands: [`curl -i -X POST -b $COOKIES ${origin}/auth/cookie/logout`, `curl -i -b $COOKIES ${origin}/users/me`]
    }
  ]
}

/** Returns the text that the server prints at the start. */
export function describeWalk (origin: string, file: string): string {
  const steps = walkSteps(origin, file).map(
    ({ title, commands }, i) => `# ${i + 1}. ${title}\n${commands.join('\n')}\n`
  )
  const pages = origin.replace('127.0.0.1', 'localhost') // browsers create no passkeys for IP addresses
  return `Listening on ${origin}, with an API page at ${origin}/docs and mails at ${origin}/dev/mail.
Pages for users: ${pages}/login, ${pages}/passkeys and ${pages}/account. In another terminal:\n\n${steps.join('\n')}`
}

/** Returns a mail as text, with the command that uses its token. */
export function mailText (origin: string, { to, purpose, token }: Mail): string {
  const [subject, path, body] = {
    reset: ['Reset your password', '/auth/reset-password', { token, password: 'excalibur-3' }],
    verify: ['Verify your e-mail address', '/auth/verify', { token }],
    login: ['Log in', '/auth/jwt/email/confirm', { ticket: 'the ticket of the reply', code: token }]
  }[purpose]
  return `\nMail to ${to}: ${subject}\n\ncurl -i ${origin}${path} -H 'content-type: application/json' -d '${JSON.stringify(body)}'\n`
}
