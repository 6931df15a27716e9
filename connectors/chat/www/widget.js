// Omnigate web chat. Made by `make widget` from connectors/chat/widget; Apache-2.0.
(() => {
"use strict";
const STRINGS = {"en":{"open":"Open chat","close":"Close chat","title":"Chat with us","messages":"Messages","write":"Write a message…","label":"Your message","send":"Send","attach":"Attach a file","drop":"Drop files to send them","you":"You","agent":"Agent","bot":"Assistant","system":"Notice","typing":"{name} is typing","online":"We are here","away":"We answer soon","offline_agents":"Leave us a message","connecting":"Connecting…","lost":"No connection. What you write is kept and sent as soon as it is back.","retry_in":"Next try in {seconds} s","retry":"Try now","back":"Connected again","refused":"The chat is not available on this page.","waiting":"Waiting to be sent","sent":"Sent","delivered":"Delivered","read":"Read","failed":"Not sent: {reason}","again":"Send again","remove":"Remove","edited":"edited","deleted":"This message was deleted","older":"Show earlier messages","ended_agent":"The conversation was closed. Write to go on.","ended_visitor":"You ended the conversation. Write to go on.","uploading":"Sending {name}","cancel":"Cancel","too_large":"{name} is larger than {size}","bad_type":"Files like {name} are not accepted","upload_failed":"{name} could not be sent","today":"Today","unread":"{count} unread","menu":"More","save":"Save conversation","end":"End conversation","download":"Download {name}","image":"Image","new":"New messages","empty":"Ask us anything. We answer right here.","map":"Show on the map","long":"{count} characters too many","change":"Change message: {text}","edit":"Edit","delete":"Delete","sure":"Delete for everybody?","editing":"Editing your message","save_edit":"Save","unchanged":"Not changed: {reason}","too_late":"It is too late to change this message.","try_again":"There is no connection. Please try again."},"zh":{"open":"打开聊天","close":"关闭聊天","title":"在线咨询","messages":"消息","write":"请输入消息…","label":"您的消息","send":"发送","attach":"添加文件","drop":"拖放文件即可发送","you":"您","agent":"客服","bot":"智能助手","system":"通知","typing":"{name}正在输入","online":"客服在线","away":"我们会尽快回复","offline_agents":"请给我们留言","connecting":"正在连接…","lost":"网络已断开。您写的内容会保留，恢复后自动发送。","retry_in":"{seconds} 秒后重试","retry":"立即重试","back":"已重新连接","refused":"此页面无法使用聊天。","waiting":"等待发送","sent":"已发送","delivered":"已送达","read":"已读","failed":"未发送：{reason}","again":"重新发送","remove":"移除","edited":"已编辑","deleted":"此消息已删除","older":"查看更早的消息","ended_agent":"会话已结束，继续输入即可重新开始。","ended_visitor":"您已结束会话，继续输入即可重新开始。","uploading":"正在发送 {name}","cancel":"取消","too_large":"{name} 超过 {size}","bad_type":"不支持 {name} 这类文件","upload_failed":"{name} 发送失败","today":"今天","unread":"{count} 条未读","menu":"更多","save":"保存会话","end":"结束会话","download":"下载 {name}","image":"图片","new":"新消息","empty":"有什么问题都可以问，我们在这里回复您。","map":"在地图上查看","long":"超出 {count} 个字","change":"修改消息：{text}","edit":"编辑","delete":"删除","sure":"确定对所有人删除？","editing":"正在编辑您的消息","save_edit":"保存","unchanged":"未修改：{reason}","too_late":"此消息已无法修改。","try_again":"网络已断开，请重试。"},"de":{"open":"Chat öffnen","close":"Chat schließen","title":"Chatten Sie mit uns","messages":"Nachrichten","write":"Nachricht schreiben…","label":"Ihre Nachricht","send":"Senden","attach":"Datei anhängen","drop":"Dateien hier ablegen","you":"Sie","agent":"Kundendienst","bot":"Assistent","system":"Hinweis","typing":"{name} schreibt","online":"Wir sind da","away":"Wir antworten bald","offline_agents":"Hinterlassen Sie uns eine Nachricht","connecting":"Verbinde…","lost":"Keine Verbindung. Was Sie schreiben, bleibt erhalten und wird gesendet, sobald sie wieder da ist.","retry_in":"Nächster Versuch in {seconds} s","retry":"Jetzt versuchen","back":"Wieder verbunden","refused":"Der Chat ist auf dieser Seite nicht verfügbar.","waiting":"Wartet auf Versand","sent":"Gesendet","delivered":"Zugestellt","read":"Gelesen","failed":"Nicht gesendet: {reason}","again":"Erneut senden","remove":"Entfernen","edited":"bearbeitet","deleted":"Diese Nachricht wurde gelöscht","older":"Frühere Nachrichten zeigen","ended_agent":"Das Gespräch wurde beendet. Schreiben Sie, um es fortzusetzen.","ended_visitor":"Sie haben das Gespräch beendet. Schreiben Sie, um es fortzusetzen.","uploading":"{name} wird gesendet","cancel":"Abbrechen","too_large":"{name} ist größer als {size}","bad_type":"Dateien wie {name} werden nicht angenommen","upload_failed":"{name} konnte nicht gesendet werden","today":"Heute","unread":"{count} ungelesen","menu":"Mehr","save":"Gespräch speichern","end":"Gespräch beenden","download":"{name} herunterladen","image":"Bild","new":"Neue Nachrichten","empty":"Fragen Sie uns. Wir antworten gleich hier.","map":"Auf der Karte zeigen","long":"{count} Zeichen zu viel","change":"Nachricht ändern: {text}","edit":"Bearbeiten","delete":"Löschen","sure":"Für alle löschen?","editing":"Sie bearbeiten Ihre Nachricht","save_edit":"Speichern","unchanged":"Nicht geändert: {reason}","too_late":"Diese Nachricht lässt sich nicht mehr ändern.","try_again":"Keine Verbindung. Bitte versuchen Sie es noch einmal."},"fr":{"open":"Ouvrir le chat","close":"Fermer le chat","title":"Discutez avec nous","messages":"Messages","write":"Écrivez un message…","label":"Votre message","send":"Envoyer","attach":"Joindre un fichier","drop":"Déposez les fichiers ici","you":"Vous","agent":"Conseiller","bot":"Assistant","system":"Information","typing":"{name} écrit","online":"Nous sommes là","away":"Nous répondons bientôt","offline_agents":"Laissez-nous un message","connecting":"Connexion…","lost":"Pas de connexion. Vos messages sont gardés et partiront dès son retour.","retry_in":"Nouvel essai dans {seconds} s","retry":"Réessayer","back":"De nouveau connecté","refused":"Le chat n’est pas disponible sur cette page.","waiting":"En attente d’envoi","sent":"Envoyé","delivered":"Remis","read":"Lu","failed":"Non envoyé : {reason}","again":"Renvoyer","remove":"Retirer","edited":"modifié","deleted":"Ce message a été supprimé","older":"Afficher les messages précédents","ended_agent":"La conversation est terminée. Écrivez pour la reprendre.","ended_visitor":"Vous avez terminé la conversation. Écrivez pour la reprendre.","uploading":"Envoi de {name}","cancel":"Annuler","too_large":"{name} dépasse {size}","bad_type":"Les fichiers comme {name} ne sont pas acceptés","upload_failed":"{name} n’a pas pu être envoyé","today":"Aujourd’hui","unread":"{count} non lus","menu":"Plus","save":"Enregistrer la conversation","end":"Terminer la conversation","download":"Télécharger {name}","image":"Image","new":"Nouveaux messages","empty":"Posez-nous vos questions. Nous répondons ici même.","map":"Voir sur la carte","long":"{count} caractères de trop","change":"Modifier le message : {text}","edit":"Modifier","delete":"Supprimer","sure":"Supprimer pour tous ?","editing":"Vous modifiez votre message","save_edit":"Enregistrer","unchanged":"Non modifié : {reason}","too_late":"Ce message ne peut plus être modifié.","try_again":"Pas de connexion. Veuillez réessayer."},"es":{"open":"Abrir el chat","close":"Cerrar el chat","title":"Chatea con nosotros","messages":"Mensajes","write":"Escribe un mensaje…","label":"Tu mensaje","send":"Enviar","attach":"Adjuntar un archivo","drop":"Suelta los archivos aquí","you":"Tú","agent":"Agente","bot":"Asistente","system":"Aviso","typing":"{name} está escribiendo","online":"Estamos aquí","away":"Respondemos pronto","offline_agents":"Déjanos un mensaje","connecting":"Conectando…","lost":"Sin conexión. Lo que escribas se guarda y se envía en cuanto vuelva.","retry_in":"Próximo intento en {seconds} s","retry":"Reintentar","back":"Conectado de nuevo","refused":"El chat no está disponible en esta página.","waiting":"Pendiente de envío","sent":"Enviado","delivered":"Entregado","read":"Leído","failed":"No enviado: {reason}","again":"Enviar de nuevo","remove":"Quitar","edited":"editado","deleted":"Este mensaje se eliminó","older":"Ver mensajes anteriores","ended_agent":"La conversación se cerró. Escribe para continuar.","ended_visitor":"Has terminado la conversación. Escribe para continuar.","uploading":"Enviando {name}","cancel":"Cancelar","too_large":"{name} supera {size}","bad_type":"No se aceptan archivos como {name}","upload_failed":"No se pudo enviar {name}","today":"Hoy","unread":"{count} sin leer","menu":"Más","save":"Guardar la conversación","end":"Terminar la conversación","download":"Descargar {name}","image":"Imagen","new":"Mensajes nuevos","empty":"Pregúntanos lo que quieras. Respondemos aquí mismo.","map":"Ver en el mapa","long":"Sobran {count} caracteres","change":"Cambiar el mensaje: {text}","edit":"Editar","delete":"Eliminar","sure":"¿Eliminar para todos?","editing":"Estás editando tu mensaje","save_edit":"Guardar","unchanged":"No se cambió: {reason}","too_late":"Este mensaje ya no se puede cambiar.","try_again":"Sin conexión. Inténtalo de nuevo."},"ar":{"open":"افتح الدردشة","close":"أغلق الدردشة","title":"تحدث معنا","messages":"الرسائل","write":"اكتب رسالة…","label":"رسالتك","send":"إرسال","attach":"إرفاق ملف","drop":"أفلت الملفات هنا لإرسالها","you":"أنت","agent":"موظف الدعم","bot":"المساعد","system":"إشعار","typing":"{name} يكتب الآن","online":"نحن هنا","away":"سنرد قريبًا","offline_agents":"اترك لنا رسالة","connecting":"جارٍ الاتصال…","lost":"لا يوجد اتصال. ما تكتبه محفوظ وسيُرسل فور عودة الاتصال.","retry_in":"المحاولة التالية خلال {seconds} ث","retry":"حاول الآن","back":"عاد الاتصال","refused":"الدردشة غير متاحة في هذه الصفحة.","waiting":"في انتظار الإرسال","sent":"أُرسلت","delivered":"وصلت","read":"قُرئت","failed":"لم تُرسل: {reason}","again":"أعد الإرسال","remove":"إزالة","edited":"معدّلة","deleted":"حُذفت هذه الرسالة","older":"عرض الرسائل السابقة","ended_agent":"انتهت المحادثة. اكتب لمتابعتها.","ended_visitor":"لقد أنهيت المحادثة. اكتب لمتابعتها.","uploading":"جارٍ إرسال {name}","cancel":"إلغاء","too_large":"حجم {name} أكبر من {size}","bad_type":"لا تُقبل ملفات مثل {name}","upload_failed":"تعذّر إرسال {name}","today":"اليوم","unread":"{count} غير مقروءة","menu":"المزيد","save":"حفظ المحادثة","end":"إنهاء المحادثة","download":"تنزيل {name}","image":"صورة","new":"رسائل جديدة","empty":"اسألنا ما تشاء، ونحن نرد هنا مباشرة.","map":"عرض على الخريطة","long":"{count} حرفًا أكثر من المسموح","change":"تغيير الرسالة: {text}","edit":"تعديل","delete":"حذف","sure":"حذفها لدى الجميع؟","editing":"أنت تعدّل رسالتك","save_edit":"حفظ","unchanged":"لم تتغير: {reason}","too_late":"لم يعد بالإمكان تغيير هذه الرسالة.","try_again":"لا يوجد اتصال. يرجى المحاولة مرة أخرى."}};
const CSS = ":host { all: initial; --c: var(--omnigate-color, #1d5fd1); --ct: var(--omnigate-color-text, #fff); --bg: var(--omnigate-background, #fff); --fg: var(--omnigate-foreground, #1b1f27); --soft: var(--omnigate-soft, #f1f3f7); --line: var(--omnigate-line, #e2e6ed); --dim: var(--omnigate-dim, #5d6675); --bad: #b3261e; --link: var(--omnigate-link, var(--c)); --r: var(--omnigate-radius, 18px); --z: var(--omnigate-z, 2147483000); --gap: var(--omnigate-gap, 20px); color-scheme: light; }\n:host(.dark) { --bg: var(--omnigate-background, #171a21); --fg: var(--omnigate-foreground, #e9ecf2); --soft: var(--omnigate-soft, #262b35); --line: var(--omnigate-line, #333a47); --dim: var(--omnigate-dim, #a0a9b8); --bad: #ff8d85; --link: var(--omnigate-link, color-mix(in srgb, var(--c) 50%, #fff)); color-scheme: dark; }\n*, ::before, ::after { box-sizing: border-box; }\n.root { font: 15px/1.45 var(--omnigate-font, system-ui, -apple-system, \"Segoe UI\", Roboto, \"Noto Sans\", \"Noto Sans SC\", \"Noto Sans Arabic\", sans-serif); color: var(--fg); -webkit-font-smoothing: antialiased; text-align: start; }\nbutton, textarea { font: inherit; color: inherit; }\nbutton { cursor: pointer; border: 0; background: none; padding: 0; -webkit-tap-highlight-color: transparent; }\n[hidden] { display: none !important; }\n.hidden { position: absolute; width: 1px; height: 1px; margin: -1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }\n:focus-visible { outline: 2px solid var(--link); outline-offset: 2px; }\n.icon { width: 20px; height: 20px; display: block; fill: none; stroke: currentColor; stroke-width: 1.9; stroke-linecap: round; stroke-linejoin: round; flex: none; }\n.launcher { position: fixed; z-index: var(--z); inset-block-end: calc(var(--gap) + env(safe-area-inset-bottom)); width: 58px; height: 58px; border-radius: 50%; background: var(--c); color: var(--ct); display: grid; place-items: center; box-shadow: 0 2px 6px #0003, 0 8px 24px #0003; transition: transform .16s, box-shadow .16s; }\n.launcher:hover { transform: translateY(-2px); box-shadow: 0 4px 8px #0003, 0 12px 30px #0004; }\n.launcher:focus-visible { outline: 3px solid var(--bg); outline-offset: -6px; box-shadow: 0 0 0 3px var(--c); }\n.i-more { stroke-width: 3.2; } .launcher .icon { width: 26px; height: 26px; }\n.right .launcher, .right .panel { right: calc(var(--gap) + env(safe-area-inset-right)); }\n.left .launcher, .left .panel { left: calc(var(--gap) + env(safe-area-inset-left)); }\n.badge { position: absolute; inset-block-start: -3px; inset-inline-end: -3px; min-width: 22px; height: 22px; padding: 0 6px; border-radius: 11px; background: #d92d20; color: #fff; font-size: 12px; font-weight: 650; line-height: 22px; text-align: center; box-shadow: 0 0 0 2px var(--bg); }\n.panel { position: fixed; z-index: var(--z); inset-block-end: calc(var(--gap) + 72px); width: 384px; height: min(640px, calc(100dvh - 2 * var(--gap) - 72px)); background: var(--bg); border-radius: var(--r); box-shadow: 0 0 0 1px #0000000f, 0 4px 12px #0000001a, 0 18px 50px #00000038; display: flex; flex-direction: column; overflow: hidden; animation: rise .2s cubic-bezier(.2, .8, .3, 1); }\n.dark .panel { box-shadow: 0 0 0 1px var(--line), 0 18px 50px #0009; }\n@keyframes rise { from { opacity: 0; transform: translateY(14px) scale(.985); } }\nheader { display: flex; align-items: center; gap: 12px; padding: 14px 10px 14px 16px; background: var(--c); color: var(--ct); flex: none; }\n[dir=rtl] header { padding: 14px 16px 14px 10px; }\nheader .who { flex: 1; min-width: 0; }\nh2 { margin: 0; font-size: 16px; font-weight: 650; line-height: 1.3; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }\nheader p { margin: 1px 0 0; font-size: 13px; opacity: .92; display: flex; align-items: center; gap: 6px; }\n.dot { width: 8px; height: 8px; border-radius: 50%; background: #fff8; flex: none; }\n.dot.online { background: #5be38d; } .dot.away { background: #ffd25e; } .dot.lost { background: #ff9c94; }\n.avatar { width: 36px; height: 36px; border-radius: 50%; background: #ffffff2e; display: grid; place-items: center; font-weight: 650; flex: none; overflow: hidden; }\n.avatar img { width: 100%; height: 100%; object-fit: cover; }\nheader button { width: 36px; height: 36px; border-radius: 10px; display: grid; place-items: center; }\nheader button:hover { background: #ffffff26; } header :focus-visible { outline-color: currentColor; outline-offset: -2px; }\n.menu { position: absolute; z-index: 3; inset-block-start: 58px; inset-inline-end: 10px; background: var(--bg); border-radius: 12px; padding: 6px; box-shadow: 0 0 0 1px var(--line), 0 10px 30px #0003; min-width: 200px; }\n.menu button { display: block; width: 100%; text-align: start; padding: 9px 12px; border-radius: 8px; }\n.menu button:hover { background: var(--soft); }\n.notice { flex: none; display: flex; gap: 10px; align-items: center; padding: 9px 16px; font-size: 13px; line-height: 1.4; background: #fff4d6; color: #5a4100; }\n.dark .notice { background: #3a3016; color: #ffe6a3; }\n.notice.good { background: #dff6e7; color: #0f5c2e; } .dark .notice.good { background: #12361f; color: #a8efc2; }\n.notice span { flex: 1; } .notice button { text-decoration: underline; white-space: nowrap; font-weight: 600; }\n.log { flex: 1; overflow-y: auto; overscroll-behavior: contain; padding: 14px 16px 8px; display: flex; flex-direction: column; }\n.log > ol { list-style: none; margin: auto 0 0; padding: 0; display: flex; flex-direction: column; }\n.day, .line { align-self: center; text-align: center; font-size: 12px; color: var(--dim); margin: 12px 0 8px; max-width: 90%; }\n.m { position: relative; max-width: 84%; margin-top: 10px; display: flex; flex-direction: column; align-self: flex-start; align-items: flex-start; min-width: 0; }\n.m.same { margin-top: 3px; } .m.mine { align-self: flex-end; align-items: flex-end; }\n.by { font-size: 12px; color: var(--dim); margin: 0 12px 3px; }\n.bubble { border-radius: var(--r); padding: 9px 13px; background: var(--soft); overflow-wrap: anywhere; max-width: 100%; min-width: 0; overflow: hidden; border-end-start-radius: 5px; }\n.mine .bubble { background: var(--c); color: var(--ct); border-end-start-radius: var(--r); border-end-end-radius: 5px; }\n.waiting .bubble { opacity: .65; } .failed .bubble { background: none; color: var(--fg); box-shadow: inset 0 0 0 1.5px var(--bad); }\n.gone .bubble { background: none; box-shadow: inset 0 0 0 1px var(--line); color: var(--dim); font-style: italic; }\n.text { white-space: pre-wrap; unicode-bidi: plaintext; text-align: start; } .rich { unicode-bidi: plaintext; }\n.rich > :first-child { margin-top: 0; } .rich > :last-child { margin-bottom: 0; }\n.rich p, .rich ul, .rich ol, .rich pre, .rich blockquote { margin: 6px 0; } .rich ul, .rich ol { padding-inline-start: 20px; }\n.rich p { white-space: pre-line; }\ncode { font: 13px/1.4 ui-monospace, SFMono-Regular, Menlo, monospace; background: #8882; border-radius: 4px; padding: 1px 4px; } pre { overflow-x: auto; } pre code { display: block; padding: 8px; }\nblockquote { border-inline-start: 3px solid var(--line); margin-inline: 0; padding-inline-start: 10px; }\na { color: var(--link); } .mine .bubble a { color: inherit; }\n.picture { display: block; margin: -9px -13px; overflow: hidden; } .picture img { display: block; max-width: 100%; width: auto; height: auto; max-height: 260px; min-height: 40px; object-fit: cover; background: #8883; }\n.picture + .text { margin-top: 18px; } audio, video { display: block; max-width: 100%; border-radius: 10px; }\n.file { display: flex; gap: 9px; align-items: center; text-decoration: none; color: inherit; } .file .name { text-decoration: underline; } .file .size { opacity: .75; font-size: 12px; white-space: nowrap; }\n.meta { display: flex; gap: 5px; align-items: center; font-size: 11.5px; color: var(--dim); margin: 3px 6px 0; min-height: 16px; } .meta .icon { width: 15px; height: 15px; } .meta .i-read { color: var(--link); }\n.quiet .meta { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); } .meta.error { color: var(--bad); flex-wrap: wrap; justify-content: flex-end; font-size: 12.5px; } .meta.error button { text-decoration: underline; font-weight: 600; }\n.acts { position: absolute; inset-inline-end: calc(100% + 4px); inset-block-start: 0; display: flex; align-items: center; white-space: nowrap; font-size: 13px; } .by:not(.hidden) ~ .acts { inset-block-start: 20px; }\n.acts button { min-height: 32px; padding: 5px 9px; border-radius: 8px; color: var(--dim); } .acts button:hover { background: var(--soft); color: var(--fg); } .acts .more { opacity: 0; padding: 6px; transition: opacity .12s; } .acts .delete:hover, .acts .delete:focus-visible { color: var(--bad); }\n.m:hover .more, .acts .more:focus-visible, .acts.open .more { opacity: 1; } @media (hover: none) { .acts .more { opacity: .75; } }\n.acts.open { position: static; align-self: flex-end; margin-block-start: 2px; flex-wrap: wrap; justify-content: flex-end; } .edits .bubble { box-shadow: 0 0 0 2px var(--bg), 0 0 0 4px var(--link); }\n.task { flex: none; display: flex; align-items: center; gap: 8px; padding: 6px 10px 6px 20px; font-size: 13px; color: var(--link); border-block-start: 1px solid var(--line); } [dir=rtl] .task { padding: 6px 20px 6px 10px; } .task + form { border-block-start: 0; } .task[hidden] + form { border-block-start: 1px solid var(--line); }\n.task span { flex: 1; font-weight: 600; } .task.bad { color: var(--bad); } .task button { width: 32px; height: 32px; display: grid; place-items: center; border-radius: 8px; color: var(--dim); } .task button:hover { background: var(--soft); } .task .icon { width: 17px; height: 17px; }\n.choices { display: flex; flex-wrap: wrap; gap: 7px; margin-top: 9px; } .choices:first-child { margin-top: 0; }\n.choice { border: 1.5px solid var(--link); color: var(--link); border-radius: 12px; padding: 7px 13px; text-decoration: none; background: var(--bg); text-align: start; font-weight: 550; } .choice small { display: block; color: var(--dim); font-weight: 400; }\n.choice:hover:enabled, a.choice:hover { background: var(--soft); } .choice:disabled { cursor: default; opacity: .6; } .choice[aria-pressed] { opacity: 1; background: var(--c); border-color: var(--c); color: var(--ct); }\n.cards { display: flex; gap: 10px; overflow-x: auto; max-width: 100%; } .card { flex: 0 0 210px; background: var(--bg); border-radius: 12px; padding: 12px; box-shadow: inset 0 0 0 1px var(--line); } .card:only-child { flex: 1; } .card .picture { margin: -12px -12px 10px; } .card { overflow: hidden; }\n.typing { display: flex; gap: 4px; align-items: center; padding: 13px 14px; margin-top: 10px; border-radius: var(--r); background: var(--soft); align-self: flex-start; } .typing i { width: 7px; height: 7px; border-radius: 50%; background: var(--dim); animation: blink 1.2s infinite; } .typing i:nth-child(2) { animation-delay: .18s; } .typing i:nth-child(3) { animation-delay: .36s; }\n@keyframes blink { 0%, 60%, 100% { opacity: .3; transform: none; } 30% { opacity: 1; transform: translateY(-3px); } }\n.empty { margin: auto; text-align: center; color: var(--dim); padding: 24px; max-width: 290px; } .empty .icon { width: 38px; height: 38px; margin: 0 auto 12px; color: var(--link); }\n.older { align-self: center; color: var(--link); font-size: 13px; padding: 6px 12px; border-radius: 10px; } .older:hover { background: var(--soft); }\n.jump { position: absolute; inset-block-end: 78px; align-self: center; background: var(--bg); color: var(--link); border-radius: 16px; padding: 6px 14px; font-size: 13px; font-weight: 600; box-shadow: 0 0 0 1px var(--line), 0 4px 14px #0003; }\n.uploads { flex: none; padding: 0 16px; } .upload { display: flex; align-items: center; gap: 10px; font-size: 13px; padding: 6px 0; } .upload > span { flex: 1; min-width: 0; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; } .upload.bad > span { color: var(--bad); white-space: normal; } .upload button { text-decoration: underline; } progress { width: 80px; height: 6px; accent-color: var(--c); }\nform { flex: none; display: flex; align-items: flex-end; gap: 4px; padding: 10px 12px calc(12px + env(safe-area-inset-bottom)); border-block-start: 1px solid var(--line); }\n.field { flex: 1; display: flex; align-items: flex-end; background: var(--soft); border-radius: 22px; padding-inline: 4px; min-width: 0; } .field:focus-within { box-shadow: 0 0 0 2px var(--link); }\ntextarea:focus-visible { outline: none; } textarea { flex: 1; min-width: 0; border: 0; background: none; resize: none; padding: 10px 10px; min-height: 42px; max-height: 132px; line-height: 1.45; outline: none; display: block; unicode-bidi: plaintext; } textarea::placeholder { color: var(--dim); opacity: 1; }\nform button { width: 42px; height: 42px; border-radius: 50%; display: grid; place-items: center; flex: none; color: var(--dim); } form button:hover { color: var(--fg); }\nform .go { background: var(--c); color: var(--ct); margin-inline-start: 4px; transition: opacity .15s; } form .go:hover { color: var(--ct); } form .go:disabled { opacity: .4; cursor: default; } [dir=rtl] .go .icon { transform: scaleX(-1); }\n.count { font-size: 12px; color: var(--bad); padding: 0 20px 8px; text-align: end; }\n.drop { position: absolute; inset: 8px; z-index: 4; border-radius: calc(var(--r) - 4px); border: 2.5px dashed var(--link); background: color-mix(in srgb, var(--bg) 92%, transparent); display: grid; place-items: center; font-weight: 650; color: var(--link); pointer-events: none; }\n@media (max-width: 480px) { .root .panel { inset: 0; width: auto; height: 100dvh; border-radius: 0; } .open .launcher { display: none; } textarea { font-size: 16px; } }\n@media (max-height: 420px) { .root .panel { inset-block: 0; height: 100dvh; border-radius: 0; } .open .launcher { display: none; } }\n@media (prefers-reduced-motion: reduce) { *, ::before, ::after { animation: none !important; transition: none !important; } }\n@media (forced-colors: active) { .bubble, .choice, .panel, .launcher, .field { border: 1px solid; } }\n@media print { .root { display: none; } }\n";
// The protocol (PROTOCOL.md), without anything one can see: a WebSocket, else long polling; resuming; the outbox.
const VERSION = "1";
const OPEN_MS = 8000, CALL_MS = 20000, PING_MS = 10000, WS_AGAIN_MS = 180000, BACKOFF_MAX_MS = 30000;
const GONE = ["expired", "invalid", "revoked", "identity_expired"];

class Fault extends Error {
  constructor(error) {
    super(error.message || "error");
    this.code = error.code || 0;
    this.data = error.data || {};
    this.retryable = !!this.data.retryable;
  }
}
const lost = () => new Fault({ code: -1, message: "no connection", data: { retryable: true } });
const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

// A browser may refuse storage (private windows, third-party frames): then it lasts as long as the page.
class Store {
  constructor(prefix) { this.prefix = prefix; this.memory = {}; }
  get(key, fallback = null) {
    let text = this.memory[key];
    try { text = localStorage.getItem(this.prefix + key) ?? text; } catch { /* as above */ }
    try { return text == null ? fallback : JSON.parse(text); } catch { return fallback; }
  }
  set(key, value) {
    const text = value == null ? null : JSON.stringify(value);
    if (text == null) delete this.memory[key]; else this.memory[key] = text;
    try {
      if (text == null) localStorage.removeItem(this.prefix + key); else localStorage.setItem(this.prefix + key, text);
    } catch { /* as above */ }
  }
}

function newId() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return "w-" + Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

class Client {
  // `on`: change() when anything to be shown is other than before, message(entry) for each new one of the company's.
  constructor({ base, locale, jwt, on }) {
    Object.assign(this, { base, locale, jwt, on });
    this.store = new Store("omnigate:" + base + ":");
    this.state = "idle"; // idle, connecting, online, offline, refused
    this.retryAt = 0;
    this.mode = null; // ws, poll
    this.limits = null;
    this.presence = { status: "unknown", agents: [] };
    this.typing = null;
    this.calls = new Map();
    this.lastCall = 0;
    this.failures = 0;
    this.wsBadUntil = 0;
    this.reset();
    this.conversation = null;
    this.outbox = this.store.get("outbox", []);
    addEventListener("online", () => this.hurry());
    addEventListener("offline", () => this.check());
    addEventListener("pagehide", () => this.ws && this.mode === "ws" && this.flushRead());
    addEventListener("pageshow", (event) => event.persisted && this.check());
    document.addEventListener("visibilitychange", () => document.hidden || (this.hurry(), this.check()));
    addEventListener("storage", (event) => this.elsewhere(event.key || ""));
  }

  reset() {
    this.seq = 0; this.messages = new Map(); this.receipts = new Map(); this.more = false; this.loaded = false; this.ended = false;
  }
  get known() { return this.store.get("token") !== null || this.outbox.length > 0; }
  get seen() { return this.store.get("seen", 0); }
  change() { this.on.change(); }

  // Another tab of this site.
  elsewhere(key) {
    if (!key.startsWith(this.store.prefix)) return;
    const name = key.slice(this.store.prefix.length);
    if (name === "token" && !this.store.get("token") && this.state !== "idle") this.restart();
    if (name === "token" && this.store.get("token") && this.state === "idle") this.start();
    if (name === "seen") this.change();
  }

  start() {
    if (this.running) return;
    this.running = true;
    this.run();
  }
  async run() {
    while (this.running) {
      this.set(this.failures > 1 ? this.state : "connecting");
      try {
        await this.connect();
        await this.live();
      } catch (error) {
        if (!(error instanceof Fault)) console.warn("omnigate:", error);
        if (error.code === 403 || error.code === 404 || (error.code === -32020 && !GONE.includes(error.data.reason))) {
          console.warn("omnigate: the chat refuses this page or its visitor:", error.message);
          this.running = false;
          return this.set("refused");
        }
        if (error.code === -32020) this.forget();
        this.pause = error.data?.retry_after ? error.data.retry_after * 1000 : error.after;
      }
      this.drop();
      if (!this.running) return;
      this.failures += 1;
      const most = Math.min(BACKOFF_MAX_MS, 1000 * 2 ** (this.failures - 1));
      const ms = this.pause ?? (this.failures === 1 ? 200 : most * (0.5 + Math.random() / 2));
      this.pause = undefined;
      this.retryAt = Date.now() + ms;
      this.set("offline");
      await Promise.race([wait(ms), new Promise((resolve) => { this.wake = resolve; })]);
    }
  }
  hurry() { if (this.state === "offline" && this.wake) { this.failures = Math.min(this.failures, 1); this.wake(); } }
  restart() { this.cut?.(lost()); this.wake?.(); }
  set(state) { if (this.state !== state) { this.state = state; } this.change(); }

  forget() {
    for (const key of ["token", "conversation", "seen"]) this.store.set(key, null);
    this.conversation = null;
    this.reset();
  }

  // --- connecting -------------------------------------------------------------------------------------------------
  async connect() {
    this.config ||= await this.http("config", { method: "GET" });
    // Two tabs that open at the same time shall not begin two conversations.
    const first = !this.store.get("token") && navigator.locks;
    if (first) await navigator.locks.request(this.store.prefix, () => this.attach()); else await this.attach();
  }
  async attach() {
    if (Date.now() >= this.wsBadUntil) {
      try { return await this.attachSocket(); } catch (error) {
        if (error.code !== -1) throw error;
        if (!error.early) throw error;
      }
    }
    const result = await this.post("hello", this.helloParams());
    if (Date.now() >= this.wsBadUntil) this.wsBadUntil = Date.now() + WS_AGAIN_MS;
    this.mode = "poll";
    await this.welcome(result);
  }
  async attachSocket() {
    const ws = await this.open();
    this.adopt(ws);
    try {
      const result = await this.call("hello", this.helloParams(), OPEN_MS);
      await this.welcome(result);
    } catch (error) { this.drop(); throw error; }
  }
  open() {
    return new Promise((resolve, reject) => {
      const fail = () => reject(Object.assign(lost(), { early: true }));
      let ws;
      try { if (!this.config.ws) return fail(); ws = new WebSocket(this.config.ws, ["omnigate.chat.1"]); } catch { return fail(); }
      const timer = setTimeout(() => { ws.close(); fail(); }, OPEN_MS);
      ws.onopen = () => { clearTimeout(timer); resolve(ws); };
      ws.onclose = ws.onerror = () => { clearTimeout(timer); fail(); };
    });
  }
  adopt(ws) {
    this.ws = ws; this.mode = "ws"; this.heard = Date.now();
    ws.onmessage = (event) => this.frame(JSON.parse(event.data));
    ws.onclose = (event) => { if (this.ws === ws) this.gone(event.code); };
    ws.onerror = null;
  }
  gone(code) {
    const error = lost();
    if (this.after != null) { error.after = this.after; this.after = null; }
    else if (code === 1012) error.after = Math.random() * 3000;
    this.ws = null;
    for (const { reject } of this.calls.values()) reject(error);
    this.calls.clear();
    this.cut?.(error);
  }
  drop() {
    const ws = this.ws;
    this.ws = null; this.mode = null; this.typing = null;
    if (ws) { ws.onclose = ws.onmessage = null; ws.close(); }
    for (const { reject } of this.calls.values()) reject(lost());
    this.calls.clear();
    this.polling?.abort();
  }
  page() { return { url: location.href.split("#")[0].slice(0, 2000), title: document.title.slice(0, 300), referrer: document.referrer.slice(0, 2000) }; }
  helloParams() {
    const params = { protocol: 1, page: this.page(), locale: this.locale, client: { name: "omnigate-widget", version: VERSION } };
    const token = this.store.get("token");
    if (token) params.token = token;
    if (token && this.loaded) params.after = this.seq;
    if (this.jwt) params.jwt = this.jwt;
    this.resumedWith = params.after;
    return params;
  }
  async welcome(result) {
    const other = this.conversation !== null && result.conversation !== this.conversation;
    if (other) this.reset();
    if (this.store.get("conversation") !== result.conversation) this.store.set("seen", 0);
    this.conversation = result.conversation;
    this.store.set("conversation", result.conversation);
    this.store.set("token", result.session.token);
    this.limits = result.limits;
    this.presence = result.presence;
    this.visitor = result.visitor || {};
    this.heartbeat = (result.heartbeat_secs || 30) * 1000;
    this.pollMs = (result.poll_secs || 25) * 1000;
    this.ended = result.ended;
    if (this.resumedWith === undefined || other) this.seq = Math.max(this.seq, result.seq);
    if (!this.loaded || result.gap || other) {
      if (result.seq > 0) await this.history();
      this.loaded = true;
    }
    this.failures = 0;
    this.set("online");
    this.flush();
  }

  // --- connected --------------------------------------------------------------------------------------------------
  live() {
    return new Promise((_, reject) => {
      const beat = setInterval(() => this.beat(), 1000);
      this.cut = (error) => { clearInterval(beat); this.cut = null; reject(error); };
      if (this.mode === "poll") this.poll().catch((error) => this.cut?.(error));
      else if (!this.ws) this.cut(lost());
    });
  }
  beat() {
    if (this.mode === "ws" && !this.checking && Date.now() - this.heard > this.heartbeat) this.check();
    if (this.typing && this.typing.until < Date.now()) { this.typing = null; this.change(); }
  }
  async check() {
    if (this.mode !== "ws" || this.checking || this.state !== "online") return;
    this.checking = true;
    try { await this.call("ping", {}, navigator.onLine === false ? 2000 : PING_MS); } catch { this.cut?.(lost()); }
    this.checking = false;
  }
  async poll() {
    while (this.mode === "poll") {
      if (Date.now() >= this.wsBadUntil) await this.upgrade();
      if (this.mode !== "poll") return;
      this.polling = new AbortController();
      const list = await this.http("poll?after=" + this.seq, { method: "GET", signal: this.polling.signal }, this.pollMs + 10000);
      for (const item of list) this.notified(item);
    }
  }
  async upgrade() {
    this.wsBadUntil = Date.now() + WS_AGAIN_MS;
    try { await this.attachSocket(); } catch (error) {
      if (error.code !== -1) throw error;
      this.mode = "poll";
    }
  }
  frame(data) {
    this.heard = Date.now();
    if (data.method) return this.notified(data);
    const call = this.calls.get(data.id);
    if (!call) return;
    this.calls.delete(data.id);
    if (data.error) call.reject(new Fault(data.error)); else call.resolve(data.result);
  }
  call(method, params, ms = CALL_MS) {
    if (this.mode === "poll") return this.post(method, params, ms);
    return new Promise((resolve, reject) => {
      if (!this.ws) return reject(lost());
      const id = (this.lastCall += 1);
      const timer = setTimeout(() => { this.calls.delete(id); reject(lost()); this.check(); }, ms);
      this.calls.set(id, {
        resolve: (value) => { clearTimeout(timer); resolve(value); },
        reject: (error) => { clearTimeout(timer); reject(error); },
      });
      this.ws.send(JSON.stringify({ jsonrpc: "2.0", id, method, params }));
    });
  }
  notify(method, params) {
    if (this.state !== "online") return;
    if (this.mode === "poll") { this.http("rpc", this.body({ jsonrpc: "2.0", method, params })).catch(() => {}); return; }
    this.ws?.send(JSON.stringify({ jsonrpc: "2.0", method, params }));
  }
  body(data) { return { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(data) }; }
  async post(method, params, ms = CALL_MS) {
    const answer = await this.http("rpc", this.body({ jsonrpc: "2.0", id: 1, method, params }), ms, method === "hello");
    if (answer.error) throw new Fault(answer.error);
    return answer.result;
  }
  async http(path, options, ms = CALL_MS, open = false) {
    const limit = new AbortController();
    const timer = setTimeout(() => limit.abort(), ms);
    options.signal?.addEventListener("abort", () => limit.abort());
    const headers = { ...options.headers };
    const token = this.store.get("token");
    if (token && !open && path !== "config") headers.Authorization = "Bearer " + token;
    let response, text;
    try {
      response = await fetch(this.base + path, { ...options, headers, signal: limit.signal, credentials: "omit", cache: "no-store" });
      text = await response.text();
    } catch { throw lost(); } finally { clearTimeout(timer); }
    return this.understood(response, text);
  }
  understood(response, text) {
    let data = null;
    try { data = text ? JSON.parse(text) : {}; } catch { /* not from the gateway: a proxy's page */ }
    if (data && data.error) throw new Fault(data.error);
    if (response.ok && data !== null) return data;
    const passing = response.ok || response.status === 408 || response.status === 429 || response.status >= 500;
    const after = Number(response.headers?.get("Retry-After")) || undefined;
    throw new Fault({ code: response.status, message: text.slice(0, 200) || "HTTP " + response.status, data: { retryable: passing, retry_after: after } });
  }

  // --- what comes -------------------------------------------------------------------------------------------------
  notified({ method, params }) {
    if (params.seq !== undefined) {
      if (params.seq <= this.seq) return;
      this.seq = params.seq;
      this.entry(method, params, true);
      this.acknowledge();
    } else if (method === "typing") {
      this.typing = params.active ? { name: params.name, until: Date.now() + 10000 } : null;
    } else if (method === "presence") {
      this.presence = params;
    } else if (method === "reconnect") {
      this.after = params.after_ms;
    }
    this.change();
  }
  entry(method, params, fresh) {
    if (method === "message") {
      const message = { ...params.message, seq: params.seq, pos: params.pos };
      const had = this.messages.get(message.id);
      const older = had && (had.deleted || (!message.deleted && had.revision > message.revision));
      if (!older) this.messages.set(message.id, { ...message, status: had?.status });
      this.sent(message.id);
      if (fresh) this.ended = false;
      if (fresh && message.from?.role !== "visitor") { this.typing = null; if (!had) this.on.message(message); }
    } else if (method === "receipt") {
      if (this.receipts.get(params.message) !== "read") this.receipts.set(params.message, params.status);
    } else if (method === "ended") {
      this.messages.set("ended:" + params.seq, { id: "ended:" + params.seq, ended: params.by, pos: [params.seq, params.seq], seq: params.seq, revision: 0 });
      if (fresh) this.ended = true;
    }
  }
  // What is shown, oldest first; what has not been taken yet stands at the end.
  list() {
    const list = [...this.messages.values()].sort((a, b) => a.pos[0] - b.pos[0] || a.pos[1] - b.pos[1]);
    let status = "sent";
    for (let at = list.length - 1; at >= 0; at -= 1) {
      const receipt = this.receipts.get(list[at].id);
      if (receipt === "read" || (receipt && status === "sent")) status = receipt;
      if (list[at].from?.role === "visitor") list[at].status = status;
    }
    return list.concat(this.outbox.map((item) => ({
      id: item.id, from: { role: "visitor" }, at: item.at, revision: 0, text: item.text, parts: item.show,
      status: item.error ? "failed" : "waiting", error: item.error,
    })));
  }
  get unread() {
    const seen = this.seen;
    return [...this.messages.values()].filter((m) => m.from && m.from.role !== "visitor" && !m.deleted && m.pos[0] > seen).length;
  }
  async history() {
    const first = [...this.messages.values()].reduce((least, m) => Math.min(least, m.seq), Infinity);
    const params = { limit: this.limits?.history_max || 50 };
    if (this.loaded && first < Infinity) params.before = first;
    const page = await this.call("history", params);
    for (const { method, params: item } of page.events) this.entry(method, item, false);
    this.more = page.more;
    this.change();
  }
  acknowledge() {
    if (this.mode === "poll") return; // the next poll does it
    clearTimeout(this.acking);
    this.acking = setTimeout(() => this.notify("ack", { seq: this.seq }), 500);
  }
  read() {
    if (this.seq <= this.seen) return;
    this.store.set("seen", this.seq);
    clearTimeout(this.reading);
    this.reading = setTimeout(() => this.flushRead(), 700);
    this.change();
  }
  flushRead() {
    if (this.state !== "online" || this.reported === this.seen || !this.seen) return;
    this.reported = this.seen;
    clearTimeout(this.acking);
    this.notify("read", { seq: this.seen });
  }

  // --- what goes --------------------------------------------------------------------------------------------------
  send(params, show) {
    const id = newId();
    this.outbox.push({ id, at: new Date().toISOString(), params, text: params.text, show });
    this.store.set("outbox", this.outbox);
    this.start();
    this.hurry();
    this.change();
    this.flush();
    return id;
  }
  sent(id) {
    if (!this.outbox.some((item) => item.id === id)) return;
    this.outbox = this.outbox.filter((item) => item.id !== id);
    this.store.set("outbox", this.outbox);
  }
  again(id) {
    const item = this.outbox.find((one) => one.id === id);
    if (item) { delete item.error; this.store.set("outbox", this.outbox); this.flush(); this.change(); }
  }
  discard(id) { this.sent(id); this.change(); }
  // What a visitor may still change: words of his own, taken by the server, for as long as it says.
  text(message) {
    const { parts } = message;
    if (!parts?.length) return message.text;
    return parts.length === 1 && parts[0].type === "text" ? parts[0].body : null;
  }
  until(message) {
    const mine = message?.from?.role === "visitor" && message.seq && !message.deleted;
    return mine ? new Date(message.at).getTime() + (this.limits?.edit_secs || 0) * 1000 : 0;
  }
  async edit(id, text) {
    const revision = this.messages.get(id).revision + 1;
    await this.call("message.edit", { id, revision, text });
    this.changed(id, { text, parts: undefined, revision });
  }
  async remove(id) {
    await this.call("message.delete", { id });
    this.changed(id, { text: "", parts: undefined, deleted: true });
  }
  changed(id, values) {
    const had = this.messages.get(id);
    if (had && !had.deleted && !(had.revision > values.revision)) this.messages.set(id, { ...had, ...values });
    this.change();
  }

  // One after the other: the next when the one before has its result. The same id again is the same message.
  async flush() {
    if (this.flushing) return;
    this.flushing = true;
    try {
      for (let item; this.state === "online" && (item = this.outbox.find((one) => !one.error));) {
        try {
          const params = { ...item.params, id: item.id };
          if (this.mode === "poll") params.page = this.page();
          const result = await this.call("message.send", params);
          const message = { id: item.id, from: { role: "visitor" }, at: result.at, text: item.text, parts: item.show, revision: 0, seq: result.seq, pos: result.pos };
          if (!this.messages.has(item.id)) this.messages.set(item.id, message);
          this.ended = false;
          this.sent(item.id);
        } catch (error) {
          if (error.code === -1 && this.mode !== "poll") { this.check(); break; }
          if (error.code === -32020) { this.cut?.(error); break; }
          if (error.retryable) { await wait((error.data.retry_after || 2) * 1000); }
          else { item.error = error.message; this.store.set("outbox", this.outbox); }
        }
        this.change();
      }
    } finally { this.flushing = false; }
  }
  writing(active) {
    const now = Date.now();
    if (active && now - (this.wroteAt || 0) < 3000) return;
    if (!active && !this.wroteAt) return;
    this.wroteAt = active ? now : 0;
    this.notify("typing", { active });
  }
  upload(file, progress) {
    return new Promise((resolve, reject) => {
      const request = new XMLHttpRequest();
      request.open("POST", this.base + "files?name=" + encodeURIComponent(file.name || "file"));
      request.setRequestHeader("Authorization", "Bearer " + this.store.get("token"));
      request.setRequestHeader("Content-Type", file.type || "application/octet-stream");
      request.upload.onprogress = (event) => event.lengthComputable && progress(event.loaded / event.total);
      request.onerror = request.ontimeout = () => reject(lost());
      request.onload = () => {
        const response = { ok: request.status < 300, status: request.status, headers: { get: (name) => request.getResponseHeader(name) } };
        try { resolve(this.understood(response, request.responseText)); } catch (error) { reject(error); }
      };
      request.send(file);
    });
  }
  identify(jwt) {
    this.jwt = jwt;
    if (this.state === "online" || this.state === "refused") { this.restart(); if (!this.running) this.start(); }
  }
  async end(forget) {
    const result = await this.call("session.close", { forget });
    if (forget) { this.forget(); this.outbox = []; this.store.set("outbox", null); this.jwt = null; this.running = false; this.cut?.(lost()); this.drop(); this.set("idle"); }
    return result;
  }
}

// What a message is made of, as elements. Nothing that came from outside becomes markup: elements are made one by one.
const SVG = "http://www.w3.org/2000/svg";
const ICONS = {
  chat: "M21 11.5a8.4 8.4 0 0 1-12.3 7.4L3 21l2.1-5.7A8.4 8.4 0 1 1 21 11.5z",
  close: "M6 6l12 12M18 6L6 18", down: "M5 9l7 7 7-7", send: "M4 12l16-8-5 16-3.5-6.5zM11.5 13.5L20 4",
  clip: "M20 11.5l-8 8a5 5 0 0 1-7-7l8.5-8.5a3.3 3.3 0 0 1 4.7 4.7l-8.5 8.4a1.7 1.7 0 0 1-2.4-2.3l7.9-7.9",
  more: "M5 12h.01M12 12h.01M19 12h.01", file: "M14 3H6v18h12V7zM14 3v4h4", pin: "M12 21s7-6 7-11a7 7 0 1 0-14 0c0 5 7 11 7 11zM12 12a2 2 0 1 0 0-4 2 2 0 0 0 0 4z",
  check: "M5 12.5l4.5 4.5L19 7.5", waiting: "M12 8v4l2.5 2M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18z", sent: "M5 12.5l4.5 4.5L19 7.5", delivered: "M2 12.5L6.5 17 15 7.5M11 16l1 1 9.5-9.5",
  failed: "M12 8v5M12 16.5h.01M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18z",
};
ICONS.read = ICONS.delivered;
function icon(name) {
  const svg = document.createElementNS(SVG, "svg"), path = document.createElementNS(SVG, "path");
  for (const [key, value] of Object.entries({ viewBox: "0 0 24 24", "aria-hidden": "true", focusable: "false" })) svg.setAttribute(key, value);
  svg.classList.add("icon", "i-" + name);
  path.setAttribute("d", ICONS[name]);
  svg.append(path);
  return svg;
}
function el(tag, options = {}, ...children) {
  const node = document.createElement(tag);
  for (const [key, value] of Object.entries(options)) {
    if (value === undefined || value === null || value === false) continue;
    if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else node.setAttribute(key, value === true ? "" : value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}
const safe = (url, schemes = ["https:", "http:"]) => {
  try { return schemes.includes(new URL(url, location.href).protocol) ? url : null; } catch { return null; }
};
function link(url, ...children) {
  const good = safe(url, ["https:", "http:", "mailto:", "tel:"]);
  return good ? el("a", { href: good, target: "_blank", rel: "noopener noreferrer" }, ...children) : el("span", {}, ...children);
}
function linked(text) {
  const out = [];
  let end = 0;
  for (const found of text.matchAll(/https?:\/\/[^\s<>"]+[^\s<>".,;:!?)\]'’]/g)) {
    out.push(text.slice(end, found.index), link(found[0], found[0]));
    end = found.index + found[0].length;
  }
  return out.concat(text.slice(end));
}
// The part of CommonMark that chat messages have.
const INLINE = [
  [/`([^`]+)`/, (m) => el("code", {}, m[1])],
  [/\[([^\]]+)\]\(([^\s)]+)[^)]*\)/, (m) => link(m[2], ...inline(m[1]))],
  [/\*\*([^*]+(?:\*[^*]+)*)\*\*|__([^_]+)__/, (m) => el("strong", {}, ...inline(m[1] || m[2]))],
  [/\*([^*\s][^*]*)\*|\b_([^_]+)_\b/, (m) => el("em", {}, ...inline(m[1] || m[2]))],
];
function inline(text) {
  let best = null;
  for (const [pattern, make] of INLINE) {
    const found = pattern.exec(text);
    if (found && (!best || found.index < best.found.index)) best = { found, make };
  }
  if (!best) return linked(text.replace(/\\([\\`*_[\]()#+.!-])/g, "$1"));
  const { found, make } = best;
  return [...linked(text.slice(0, found.index)), make(found), ...inline(text.slice(found.index + found[0].length))];
}
function markdown(text) {
  return text.split(/\n{2,}/).map((block) => {
    const fence = /^```[^\n]*\n([\s\S]*?)\n?```$/.exec(block);
    if (fence) return el("pre", {}, el("code", {}, fence[1]));
    const lines = block.split("\n");
    if (lines.every((line) => /^\s*[-*+]\s/.test(line))) return el("ul", {}, ...lines.map((line) => el("li", {}, ...inline(line.replace(/^\s*[-*+]\s/, "")))));
    if (lines.every((line) => /^\s*\d+[.)]\s/.test(line))) return el("ol", {}, ...lines.map((line) => el("li", {}, ...inline(line.replace(/^\s*\d+[.)]\s/, "")))));
    if (lines.every((line) => line.startsWith(">"))) return el("blockquote", {}, ...inline(block.replace(/^> ?/gm, "")));
    const head = /^#{1,6}\s+(.*)$/.exec(block);
    return el("p", {}, ...(head ? [el("strong", {}, ...inline(head[1]))] : inline(block)));
  });
}
// The server has cleaned it; it is copied by the same list once more, so that nothing hangs on one place.
const TAGS = new Set("a b i em strong u s p br ul ol li code pre blockquote".split(" "));
function html(text) {
  let body;
  try { body = new DOMParser().parseFromString(text, "text/html").body; } catch { return [text.replace(/<[^>]*>/g, "")]; }
  const copy = (node) => [...node.childNodes].flatMap((child) => {
    if (child.nodeType === 3) return [child.data];
    const tag = child.nodeType === 1 ? child.localName : "";
    if (tag === "script" || tag === "style" || !tag) return [];
    if (tag === "a") return [link(child.getAttribute("href") || "", ...copy(child))];
    return TAGS.has(tag) ? [el(tag, {}, ...copy(child))] : copy(child);
  });
  return copy(body);
}
const size = (bytes, lang) => {
  const unit = bytes >= 1e6 ? "megabyte" : bytes >= 1e3 ? "kilobyte" : "byte";
  const number = bytes / { megabyte: 1e6, kilobyte: 1e3, byte: 1 }[unit];
  return new Intl.NumberFormat(lang, { style: "unit", unit, maximumFractionDigits: number < 10 ? 1 : 0 }).format(number);
};
function media(part, t, lang) {
  const item = part.media || part, url = item.url && safe(item.url), name = item.name || t(part.type === "image" ? "image" : "attach");
  const caption = item.caption || part.caption;
  const out = [];
  if (url && (part.type === "image" || part.type === "sticker")) {
    out.push(el("a", { href: url, target: "_blank", rel: "noopener noreferrer", class: "picture" },
      el("img", { src: url, alt: caption || name, loading: "lazy", width: item.width, height: item.height })));
  } else if (url && (part.type === "audio" || part.type === "video")) {
    out.push(el(part.type, { src: url, controls: true, preload: "metadata", "aria-label": name }));
  } else {
    const inside = [icon("file"), el("span", { class: "name" }, name), item.size ? el("span", { class: "size" }, size(item.size, lang)) : null];
    out.push(url ? el("a", { href: url, target: "_blank", rel: "noopener noreferrer", class: "file", "aria-label": t("download", { name }) }, ...inside) : el("span", { class: "file" }, ...inside));
  }
  if (caption) out.push(el("div", { class: "text" }, ...linked(caption)));
  return out;
}
function choices(items, answer, chosen) {
  return el("div", { class: "choices", role: "group" }, ...(items || []).map((item) => {
    const inside = [el("span", {}, item.title || item.id), item.description ? el("small", {}, item.description) : null];
    if (item.url) return el("a", { href: safe(item.url), target: "_blank", rel: "noopener noreferrer", class: "choice" }, ...inside);
    return el("button", { type: "button", class: "choice", disabled: !answer || chosen !== undefined, "aria-pressed": chosen === item.id ? "true" : undefined, onclick: () => answer(item) }, ...inside);
  }));
}
// `answer(item)` sends a choice; absent where there is none to be made. `chosen` is the id of the item that was.
function shown(message, { t, lang, answer, chosen }) {
  const text = (body) => el("div", { class: "text" }, ...linked(body || ""));
  const parts = message.parts?.length ? message.parts : [{ type: "text", body: message.text }];
  return parts.flatMap((part) => {
    switch (part.type) {
      case "text":
        if (part.format === "markdown") return [el("div", { class: "rich" }, ...markdown(part.body))];
        if (part.format === "html") return [el("div", { class: "rich" }, ...html(part.body))];
        return part.body ? [text(part.body)] : [];
      case "image": case "audio": case "video": case "file": case "sticker": return media(part, t, lang);
      case "location": {
        const where = `${Number(part.lat)},${Number(part.lon)}`;
        return [el("a", { class: "file", target: "_blank", rel: "noopener noreferrer", href: `https://www.openstreetmap.org/?mlat=${Number(part.lat)}&mlon=${Number(part.lon)}#map=16/${where.replace(",", "/")}` },
          icon("pin"), el("span", { class: "name" }, part.name || part.address || t("map")))];
      }
      case "contact": return [text([part.name, ...(part.phones || []), ...(part.emails || [])].filter(Boolean).map((one) => one.number || one.email || one).join("\n"))];
      case "choice": return [part.body ? text(part.body) : null, choices(part.items, answer, chosen)].filter(Boolean);
      case "card": case "carousel":
        return [el("div", { class: "cards", tabindex: part.items?.length > 1 ? "0" : undefined }, ...(part.items || []).map((card) => el("div", { class: "card" },
          ...(card.media ? media({ type: "image", media: card.media }, t, lang) : []),
          card.title ? el("strong", {}, card.title) : null, card.body ? text(card.body) : null,
          card.items?.length ? choices(card.items, answer, chosen) : null)))];
      case "choice_reply": return [text(part.title || part.item_id)];
      default: return message.text ? [text(message.text)] : [];
    }
  });
}

// What one sees.
class View {
  constructor(client, options) {
    this.client = client;
    this.options = options;
    this.lang = options.lang;
    this.uploads = [];
    this.isOpen = false;
    this.nodes = new Map();
    this.build();
  }
  t(key, values = {}) {
    const text = STRINGS[this.lang]?.[key] ?? STRINGS.en[key] ?? key;
    return text.replace(/\{(\w+)\}/g, (_, name) => values[name] ?? "");
  }
  tx = (key, values) => this.t(key, values);

  build() {
    const { options } = this, t = this.tx, title = options.title || t("title");
    this.host = el("omnigate-chat");
    const shadow = this.host.attachShadow({ mode: "open" });
    const sheet = new CSSStyleSheet();
    sheet.replaceSync(CSS);
    shadow.adoptedStyleSheets = [sheet];
    if (options.color) this.host.style.setProperty("--omnigate-color", options.color);
    if (options.colorText) this.host.style.setProperty("--omnigate-color-text", options.colorText);
    this.badge = el("span", { class: "badge", hidden: true });
    this.launcher = el("button", { type: "button", class: "launcher", "aria-haspopup": "dialog", "aria-expanded": "false", onclick: () => this.toggle() }, icon("chat"), this.badge);
    this.presence = el("p", {});
    this.avatar = el("div", { class: "avatar", "aria-hidden": "true" }, options.avatar && safe(options.avatar) ? el("img", { src: safe(options.avatar), alt: "" }) : [...title][0].toUpperCase());
    this.menuButton = el("button", { type: "button", "aria-label": t("menu"), "aria-haspopup": "true", "aria-expanded": "false", onclick: () => this.menu(this.menuBox.hidden) }, icon("more"));
    this.menuBox = el("div", { class: "menu", hidden: true }, el("button", { type: "button", onclick: () => this.save() }, t("save")), el("button", { type: "button", onclick: () => { this.menu(false); this.client.end(false).catch(() => {}); } }, t("end")));
    this.notice = el("div", { class: "notice", role: "status", hidden: true });
    this.list = el("ol", {});
    this.older = el("button", { type: "button", class: "older", hidden: true, onclick: () => this.earlier() }, t("older"));
    this.empty = el("div", { class: "empty" }, icon("chat"), options.greeting || t("empty"));
    this.typing = el("div", { class: "typing", hidden: true }, el("i"), el("i"), el("i"));
    this.log = el("div", { class: "log", role: "log", "aria-live": "polite", "aria-relevant": "additions", "aria-label": t("messages"), tabindex: "0", onscroll: () => this.scrolled() }, this.older, this.empty, this.list, this.typing);
    this.said = el("div", { class: "hidden", role: "status" });
    this.jump = el("button", { type: "button", class: "jump", hidden: true, onclick: () => this.bottom() }, t("new"));
    this.uploadBox = el("div", { class: "uploads" });
    this.text = el("textarea", { rows: "1", "aria-label": t("label"), placeholder: t("write"), enterkeyhint: "send", oninput: () => this.typed(), onkeydown: (event) => this.key(event), onpaste: (event) => this.files(event.clipboardData?.files, event) });
    this.picker = el("input", { type: "file", multiple: true, hidden: true, tabindex: "-1", "aria-hidden": "true", onchange: () => { this.files(this.picker.files); this.picker.value = ""; } });
    this.clip = el("button", { type: "button", "aria-label": t("attach"), title: t("attach"), onclick: () => this.picker.click() }, icon("clip"));
    this.go = el("button", { class: "go", "aria-label": t("send"), title: t("send"), disabled: true }, icon("send"));
    this.count = el("div", { class: "count", role: "status", hidden: true });
    this.drop = el("div", { class: "drop", hidden: true }, t("drop"));
    this.task = el("div", { class: "task", hidden: true }, el("span", { role: "status" }), el("button", { type: "button", "aria-label": t("cancel"), title: t("cancel"), onclick: () => this.edited() }, icon("close")));
    this.form = el("form", { onsubmit: (event) => { event.preventDefault(); this.submit(); } }, el("div", { class: "field" }, this.clip, this.text), this.picker, this.go);
    this.panel = el("div", { class: "panel", role: "dialog", "aria-label": title, hidden: true, onkeydown: (event) => this.escape(event) },
      el("header", {}, this.avatar, el("div", { class: "who" }, el("h2", {}, title), this.presence), this.menuButton, el("button", { type: "button", "aria-label": t("close"), onclick: () => this.close() }, icon("down"))),
      this.menuBox, this.notice, this.log, this.said, this.jump, this.uploadBox, this.task, this.form, this.count, this.drop);
    for (const [name, on] of [["dragenter", true], ["dragover", true], ["dragleave", false], ["drop", false]]) this.panel.addEventListener(name, (event) => this.dragged(event, name, on));
    this.root = el("div", { class: "root " + (options.position === "left" ? "left" : "right"), lang: this.lang, dir: RTL.includes(this.lang.split("-")[0]) ? "rtl" : "ltr" }, this.panel, this.launcher);
    shadow.append(this.root);
    this.theme();
    document.body.append(this.host);
    // Pictures come late and make the list longer: who was at its end stays there.
    new ResizeObserver(() => this.stick && this.bottom()).observe(this.list);
    setInterval(() => this.tick(), 1000);
    this.render();
  }
  theme() {
    const query = matchMedia("(prefers-color-scheme: dark)");
    const paint = () => {
      const dark = this.options.theme === "dark" || (this.options.theme !== "light" && query.matches);
      this.host.classList.toggle("dark", dark);
      this.root.classList.toggle("dark", dark);
    };
    query.addEventListener("change", paint);
    paint();
  }

  // --- opening ----------------------------------------------------------------------------------------------------
  toggle() { if (this.isOpen) this.close(); else this.open(); }
  open() {
    this.isOpen = true;
    this.panel.hidden = false;
    this.root.classList.add("open");
    this.launcher.setAttribute("aria-expanded", "true");
    this.launcher.firstChild.replaceWith(icon("close"));
    this.client.start();
    this.render();
    this.bottom();
    this.text.focus({ preventScroll: true });
    this.client.store.set("open", true);
  }
  close() {
    this.isOpen = false;
    this.menu(false);
    this.panel.hidden = true;
    this.root.classList.remove("open");
    this.launcher.setAttribute("aria-expanded", "false");
    this.launcher.firstChild.replaceWith(icon("chat"));
    this.launcher.focus({ preventScroll: true });
    this.client.store.set("open", null);
    this.render();
  }
  escape(event) {
    if (event.key !== "Escape") return;
    event.stopPropagation();
    if (!this.menuBox.hidden) { this.menu(false); this.menuButton.focus(); }
    else if (this.choosing) this.choose(null);
    else if (this.editing) this.edited();
    else this.close();
  }
  menu(open) {
    this.menuBox.hidden = !open;
    this.menuButton.setAttribute("aria-expanded", String(open));
    if (open) this.menuBox.firstChild.focus();
  }
  async save() {
    this.menu(false);
    let text;
    try { ({ text } = await this.client.call("transcript", {})); } catch { return; }
    const url = URL.createObjectURL(new Blob([text], { type: "text/plain" }));
    el("a", { href: url, download: "chat.txt" }).click();
    setTimeout(() => URL.revokeObjectURL(url), 10000);
  }

  // --- writing ----------------------------------------------------------------------------------------------------
  typed() {
    this.text.style.height = "auto";
    this.text.style.height = Math.min(this.text.scrollHeight, 132) + "px";
    const over = [...this.text.value].length - (this.client.limits?.text_max || 8000);
    this.count.hidden = over <= 0;
    this.count.textContent = over > 0 ? this.t("long", { count: over }) : "";
    this.go.disabled = !this.text.value.trim() || over > 0;
    if (!this.editing) this.client.writing(!!this.text.value.trim());
  }
  key(event) {
    if (event.key === "ArrowUp" && !this.text.value && !this.editing) {
      const last = this.client.list().reverse().find((message) => this.changeable(message));
      if (last && this.client.text(last) !== null) { event.preventDefault(); this.edit(last); }
    }
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing && event.keyCode !== 229) { event.preventDefault(); this.submit(); }
  }
  submit() {
    const text = this.text.value.trim();
    if (!text || this.go.disabled) return;
    if (this.editing) return this.saveEdit(text);
    this.text.value = "";
    this.client.wroteAt = 0;
    this.client.send({ text });
    this.typed();
    this.bottom();
    this.text.focus({ preventScroll: true });
  }

  // --- changing what one has said ---------------------------------------------------------------------------------
  changeable(message) { return this.client.state === "online" && this.client.until(message) > Date.now(); }
  // The buttons beside a message, for the one they were asked for.
  choose(id) {
    const before = this.choosing;
    this.choosing = id;
    this.draw();
    const at = this.nodes.get(id ?? before)?.node.querySelector(id ? ".acts button:nth-child(2)" : ".acts button");
    at?.focus({ preventScroll: true });
  }
  edit(message) {
    this.choosing = null;
    this.editing = message.id;
    this.draft = this.text.value;
    this.text.value = this.client.text(message);
    this.task.hidden = false;
    this.task.firstChild.textContent = this.t("editing");
    this.goes("check", "save_edit");
    this.draw();
    this.typed();
    this.text.focus({ preventScroll: true });
  }
  // Back to what was being written.
  edited() {
    this.editing = null;
    this.task.hidden = true;
    this.task.className = "task";
    this.text.value = this.draft || "";
    this.goes("send", "send");
    this.draw();
    this.typed();
    this.text.focus({ preventScroll: true });
  }
  goes(name, label) {
    this.go.replaceChildren(icon(name));
    for (const attribute of ["aria-label", "title"]) this.go.setAttribute(attribute, this.t(label));
  }
  async saveEdit(text) {
    const id = this.editing, message = this.client.messages.get(id);
    this.go.disabled = true;
    try {
      if (text !== this.client.text(message)) await this.client.edit(id, text);
      if (this.editing === id) this.edited();
    } catch (error) { this.unchanged(error); this.typed(); }
  }
  async remove(id) {
    try { await this.client.remove(id); } catch (error) { this.unchanged(error); }
    this.choose(null);
    this.text.focus({ preventScroll: true });
  }
  unchanged(error) {
    const reason = error.code === -1 ? this.t("try_again") : error.code === -32007 ? this.t("too_late") : error.message;
    this.task.hidden = false;
    this.task.className = "task bad";
    this.task.firstChild.textContent = this.t("unchanged", { reason });
  }
  acts(message) {
    const t = this.tx, words = this.client.text(message), button = (label, onclick, extra) => el("button", { type: "button", onclick, ...extra }, label);
    const open = this.choosing === message.id;
    const more = button(icon("more"), () => this.choose(open ? null : message.id), { class: "more", "aria-expanded": String(open), "aria-label": t("change", { text: (words ?? message.text ?? "").slice(0, 60) }) });
    if (!open) return el("div", { class: "acts" }, more);
    const remove = button(t("delete"), () => {
      if (remove.textContent === t("sure")) this.remove(message.id); else remove.textContent = t("sure");
    }, { class: "delete" });
    return el("div", { class: "acts open" }, more, words === null ? null : button(t("edit"), () => this.edit(message)), remove);
  }
  answer(message, item) {
    const part = { type: "choice_reply", item_id: item.id, title: item.title || item.id, of: message.id };
    this.client.send({ parts: [part] }, [part]);
    this.bottom();
    this.text.focus({ preventScroll: true });
  }
  dragged(event, name, on) {
    if (![...(event.dataTransfer?.types || [])].includes("Files")) return;
    event.preventDefault();
    if (name === "dragleave" && this.panel.contains(event.relatedTarget)) return;
    this.drop.hidden = !on;
    if (name === "drop") this.files(event.dataTransfer.files);
  }
  files(files, event) {
    if (!files?.length) return;
    event?.preventDefault();
    for (const file of files) this.uploads.push({ file, done: 0, error: this.unfit(file) });
    this.renderUploads();
    this.pump();
  }
  unfit(file) {
    const { upload_max_bytes: most, upload_types: types } = this.client.limits || {};
    if (most !== undefined && file.size > most) return this.t("too_large", { name: file.name, size: size(most, this.lang) });
    const fits = (type) => type === "*/*" || type === file.type || (type.endsWith("*") && file.type.startsWith(type.slice(0, -1)));
    if (types && file.type && !types.some(fits)) return this.t("bad_type", { name: file.name });
    return null;
  }
  async pump() {
    if (this.pumping) return;
    this.pumping = true;
    for (let item; (item = this.uploads.find((one) => !one.error));) {
      if (this.client.state !== "online") { await wait(500); continue; }
      try {
        const got = await this.client.upload(item.file, (done) => { item.done = done; if (item.bar) item.bar.value = done; });
        if (!this.uploads.includes(item)) continue;
        this.uploads = this.uploads.filter((one) => one !== item);
        const show = { type: got.type, media: { name: got.name || item.file.name, mime: got.mime, size: got.size } };
        this.client.send({ parts: [{ type: got.type, file: got.file }] }, [show]);
        this.bottom();
      } catch (error) {
        if (error.retryable) { await wait((error.data.retry_after || 1.5) * 1000); continue; }
        item.error = error.code === 413 ? this.t("too_large", { name: item.file.name, size: size(this.client.limits?.upload_max_bytes || 0, this.lang) })
          : error.code === 415 ? this.t("bad_type", { name: item.file.name }) : this.t("upload_failed", { name: item.file.name });
      }
      this.renderUploads();
    }
    this.pumping = false;
  }
  renderUploads() {
    this.uploadBox.replaceChildren(...this.uploads.map((item) => {
      const remove = () => { this.uploads = this.uploads.filter((one) => one !== item); this.renderUploads(); };
      item.bar = item.error ? null : el("progress", { max: "1", value: item.done, "aria-label": this.t("uploading", { name: item.file.name }) });
      return el("div", { class: item.error ? "upload bad" : "upload", role: item.error ? "alert" : undefined }, el("span", {}, item.error || this.t("uploading", { name: item.file.name })), item.bar, el("button", { type: "button", onclick: remove }, this.t(item.error ? "remove" : "cancel")));
    }));
  }

  // --- showing ----------------------------------------------------------------------------------------------------
  tick() {
    if (this.client.state === "offline") this.renderState();
    if (Date.now() > this.expires) this.render(); // what could be changed until now
  }
  render() {
    if (this.drawing) return;
    this.drawing = true;
    queueMicrotask(() => { this.drawing = false; this.draw(); });
  }
  draw() {
    const near = this.stick !== false, list = this.client.list();
    this.renderState();
    this.renderList(list);
    const { typing, unread } = this.client;
    this.empty.hidden = list.length > 0 || (!this.client.loaded && this.client.state === "online");
    this.older.hidden = !this.client.more;
    this.typing.hidden = !typing;
    const said = typing ? this.t("typing", { name: typing.name || this.t("agent") }) : "";
    if (this.said.textContent !== said) this.said.textContent = said;
    this.clip.hidden = this.client.limits?.upload_max_bytes === 0;
    if (near) this.bottom();
    if (this.isOpen && !document.hidden && near) this.client.read();
    this.badge.hidden = this.isOpen || !unread;
    this.badge.textContent = unread > 99 ? "99+" : String(unread);
    this.launcher.setAttribute("aria-label", this.t(this.isOpen ? "close" : "open") + (unread && !this.isOpen ? ", " + this.t("unread", { count: unread }) : ""));
  }
  renderState() {
    const { state, presence, failures, retryAt } = this.client;
    const agents = presence.agents || [];
    const words = { online: this.t("online"), away: this.t("away"), offline: this.t("offline_agents") };
    const connected = state === "online";
    const shown = connected ? (agents.length ? agents.map((agent) => agent.name).filter(Boolean).join(", ") : "") || words[presence.status] || this.options.subtitle || this.t("away")
      : state === "idle" ? this.options.subtitle || this.t("away") : state === "connecting" ? this.t("connecting") : state === "refused" ? this.t("refused") : this.t("connecting");
    const key = [shown, state, presence.status].join();
    if (this.shownState !== key) {
      this.shownState = key;
      this.presence.replaceChildren(el("span", { class: "dot " + (connected ? presence.status : state === "offline" ? "lost" : "") }), shown);
    }
    if (state === "refused") return this.tell(this.t("refused"));
    if (state === "offline" && (failures > 1 || navigator.onLine === false)) {
      this.wasLost = true;
      const seconds = Math.max(0, Math.ceil((retryAt - Date.now()) / 1000));
      return this.tell(this.t("lost"), seconds > 2 ? this.t("retry") : null);
    }
    if (connected && this.wasLost) {
      this.wasLost = false;
      this.tell(this.t("back"), null, true);
      setTimeout(() => this.client.state === "online" && this.tell(null), 3000);
    }
    if (state === "idle") this.tell(null);
  }
  tell(text, button, good) {
    const key = text ? text + (button || "") : "";
    if (this.told === key) return;
    this.told = key;
    this.notice.hidden = !text;
    this.notice.className = good ? "notice good" : "notice";
    this.notice.replaceChildren(...(text ? [el("span", {}, text)] : []), ...(button ? [el("button", { type: "button", onclick: () => this.client.hurry() }, button)] : []));
  }
  renderList(list) {
    const rows = [];
    const chosen = new Map();
    for (const m of list) for (const part of m.parts || []) if (part.type === "choice_reply" && part.of) chosen.set(part.of, part.item_id);
    const follows = (message, before) => !!before?.from && !!message?.from && before.from.role === message.from.role && before.from.name === message.from.name && new Date(message.at) - new Date(before.at) < 300000;
    let day = null, before = null;
    this.expires = Infinity;
    for (const [index, message] of list.entries()) {
      const at = message.at ? new Date(message.at) : null;
      if (at && at.toDateString() !== day) { day = at.toDateString(); rows.push({ key: "day:" + day, sign: "", make: () => el("li", { class: "day" }, this.day(at)) }); before = null; }
      const same = follows(message, before), next = list[index + 1];
      // Of several in a row the last has the time and the ticks, for the eye.
      const quiet = follows(next, message) && next.status === message.status && message.status !== "failed" && !message.revision;
      const open = this.changeable(message) && (message.id === this.choosing ? 2 : 1);
      if (open) this.expires = Math.min(this.expires, this.client.until(message));
      const sign = [open, this.editing === message.id, message.revision, message.deleted, message.status, message.error, same, quiet, chosen.get(message.id), message.parts?.some((part) => part.media?.url), message.from?.name].join();
      rows.push({ key: message.id, sign, make: () => this.row(message, at, same, quiet, chosen.get(message.id), open) });
      before = message.ended ? null : message;
    }
    let cursor = this.list.firstChild;
    const keep = new Map();
    // The history is not read out to somebody who has just opened the window.
    this.log.setAttribute("aria-busy", String(rows.length > this.nodes.size + 8));
    for (const row of rows) {
      let had = this.nodes.get(row.key);
      if (!had || had.sign !== row.sign) {
        const node = row.make();
        if (had) { if (cursor === had.node) cursor = node; had.node.replaceWith(node); }
        had = { node, sign: row.sign };
      }
      keep.set(row.key, had);
      if (had.node === cursor) cursor = cursor.nextSibling; else this.list.insertBefore(had.node, cursor);
    }
    for (const [key, { node }] of this.nodes) if (!keep.has(key)) node.remove();
    this.nodes = keep;
  }
  day(at) {
    if (at.toDateString() === new Date().toDateString()) return this.t("today");
    return new Intl.DateTimeFormat(this.lang, { weekday: "short", day: "numeric", month: "long" }).format(at);
  }
  row(message, at, same, quiet, chosen, open) {
    if (message.ended) return el("li", { class: "line" }, this.t(message.ended === "visitor" ? "ended_visitor" : "ended_agent"));
    const role = message.from?.role || "agent", mine = role === "visitor", t = this.tx;
    if (role === "system") return el("li", { class: "line" }, message.text || "");
    const name = message.from.name || t(mine ? "you" : role === "bot" ? "bot" : "agent");
    const time = at ? el("time", { datetime: message.at }, new Intl.DateTimeFormat(this.lang, { hour: "2-digit", minute: "2-digit" }).format(at)) : null;
    const bubble = el("div", { class: "bubble" }, ...(message.deleted ? [t("deleted")] : shown(message, { t, lang: this.lang, chosen, answer: mine ? undefined : (item) => this.answer(message, item) })));
    let meta;
    if (message.status === "failed") {
      meta = el("div", { class: "meta error", role: "alert" }, icon("failed"), t("failed", { reason: message.error }), el("button", { type: "button", onclick: () => this.client.again(message.id) }, t("again")), el("button", { type: "button", onclick: () => this.client.discard(message.id) }, t("remove")));
    } else {
      const edited = message.revision > 0 && !message.deleted ? t("edited") + " ·" : null;
      meta = el("div", { class: "meta" }, edited, time, ...(mine && !message.deleted ? [icon(message.status || "sent"), el("span", { class: "hidden" }, t(message.status || "sent"))] : []));
    }
    const by = same ? el("span", { class: "hidden" }, (mine ? t("you") : name) + ": ") : el("div", { class: mine ? "hidden" : "by" }, mine ? t("you") + ": " : name);
    return el("li", { class: ["m", mine ? "mine" : role, same ? "same" : "", quiet ? "quiet" : "", message.status || "", message.deleted ? "gone" : "", this.editing === message.id ? "edits" : ""].join(" "), "data-id": message.id }, by, bubble, open ? this.acts(message) : null, meta);
  }
  get near() { return this.log.scrollHeight - this.log.scrollTop - this.log.clientHeight < 90; }
  bottom() { this.stick = true; this.log.scrollTop = this.log.scrollHeight; this.top = this.log.scrollTop; this.jump.hidden = true; }
  scrolled() {
    // What comes late makes the list longer before this is told: only who scrolled upwards has left the end.
    if (this.near) this.stick = true; else if (this.log.scrollTop < this.top - 90) this.stick = false;
    if (!this.near) return;
    this.jump.hidden = true;
    if (this.isOpen && !document.hidden) this.client.read();
  }
  async earlier() {
    const { scrollHeight, scrollTop } = this.log;
    try { await this.client.history(); } catch { return; }
    this.draw();
    this.log.scrollTop = scrollTop + this.log.scrollHeight - scrollHeight;
  }
  arrived() { if (this.isOpen && !this.stick) this.jump.hidden = false; }
}

// The script tag: its `data-` attributes are the options, its address says where the chat is.
const RTL = ["ar", "he", "fa", "ur"];
const script = document.currentScript;
if (script && !window.Omnigate) {
  const data = script.dataset, base = new URL(".", script.src).href, listeners = new Set();
  const pick = (wanted) => [wanted, wanted?.split("-")[0], "en"].find((lang) => STRINGS[lang]);
  const start = () => {
    const locale = data.lang || document.documentElement.lang || navigator.language || "en";
    const client = new Client({ base, locale: navigator.language || locale, jwt: data.jwt, on: {
      change: () => view?.render(),
      message: (message) => { view.arrived(message); for (const one of listeners) one(message); },
    } });
    const view = new View(client, { ...data, lang: pick(locale) });
    Object.assign(window.Omnigate, {
      open: () => view.open(), close: () => view.close(), toggle: () => view.toggle(),
      identify: (jwt) => client.identify(jwt),
      logout: () => client.end(true).catch(() => { client.forget(); client.restart(); }),
      onMessage: (listener) => { listeners.add(listener); return () => listeners.delete(listener); },
    });
    // Who has never written costs nothing: a session begins when the window is opened for the first time.
    if (client.known || data.jwt) client.start();
    const phone = matchMedia("(max-width: 480px)").matches;
    if (data.open !== undefined || (client.store.get("open") && !phone)) view.open();
    document.dispatchEvent(new CustomEvent("omnigate:ready", { detail: window.Omnigate }));
  };
  window.Omnigate = {};
  const begin = async () => {
    // A language of the site's own: a JSON file with the keys of `strings.json` of this program.
    if (data.strings) {
      try { STRINGS[data.lang || "en"] = { ...STRINGS.en, ...await (await fetch(data.strings)).json() }; } catch (error) { console.warn("omnigate: data-strings:", error); }
    }
    start();
  };
  if (document.body) begin(); else addEventListener("DOMContentLoaded", begin);
}
})();
