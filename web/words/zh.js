// 简体中文。

export const zh = {
  "skip": "跳到正文", "pages": "页面", "theme": "浅色或深色", "disclaimer": "任何回答都不是诊断。每个模型只在其说明所列的数据上评测过。",
  "key": "密钥", "key.set": "已设密钥", "key.letters": "密钥只含拉丁字母、数字和符号。", "key.title": "您的密钥或令牌", "key.lead": "只保存在此标签页中，关闭标签页即遗忘。", "key.use": "使用", "key.forget": "遗忘", "key.enter": "输入密钥",
  "key.missing": "此服务器需要密钥，请输入后继续。", "key.refused": "服务器不接受此密钥：未知、已过期或无此权限。", "key.demo": "此部分仅供管理员使用。密钥在服务器启动时打印一次；重新启动会生成新的密钥。", "key.none": "此部分仅供管理员使用，而此服务器没有配置管理员：密钥用 --api-keys 配置。", "key.taken": "已使用地址中的密钥。",
  "server.lost": "服务器没有响应，可能正在重启；页面会自动继续寻找。", "server.found": "服务器已恢复响应。",
  "failure.unreachable": "服务器没有响应。", "failure.status": "服务器返回状态 {status}。", "failure.0": "请确认服务器正在运行，然后重试。", "failure.401": "请用侧栏的按钮输入另一把密钥。", "failure.403": "请向管理员索取有此权限的密钥。", "failure.413": "请发送较小的文件，或减少数量。", "failure.429": "服务器繁忙，请在 {seconds} 秒后重试。", "failure.503": "请稍后重试。", "failure.5xx": "这是服务器的问题，与您无关；日志中按请求编号有更多说明。", "request-id": "请求编号",
  "model": "模型", "version": "版本", "answer": "回答", "probability": "概率", "probabilities": "概率", "abstained": "不作回答", "refused": "被拒绝", "waiting": "等待中", "working": "处理中…", "file": "文件", "clear": "清空", "stop": "停止", "samples": "试一试：", "unknown": "未知", "yes": "是", "route": "路由", "reason": "原因", "time": "时间", "item": "项目", "event": "事件", "weight": "权重", "state": "状态", "kind": "类别",
  "progress": "进度", "progress.of": "{done} / {all}", "download.csv": "下载 CSV", "download.json": "下载 JSON", "copy": "复制", "copied": "已复制", "copy.failed": "浏览器不允许本页复制", "curl": "在终端中执行同样的请求",
  "bars.threshold": "低于 {value} 时模型不作回答", "bars.note": "已在留出数据上校准，准确程度见模型卡；低于 {value} 时此模型不作回答。", "bars.more": "另有 {count} 个",
  "reason.low_confidence": "没有哪个标签的概率足够高，请由人来判断。", "reason.unlike_training": "此输入与训练数据不同，或不属于任何标签；此处的概率没有意义。", "reason.blank": "图像只有一种色调，上面什么也没有。", "reason.wrong_modality": "这不是此模型所读的图像类型。", "reason.unlike_training.regions": "此输入与训练数据不同，因此模型不作勾画。", "reason.none": "模型不给出标签。",
  "stage.decode": "解码", "stage.preprocess": "预处理", "stage.queue": "排队", "stage.inference": "模型", "stage.whole": "从此处看共 {time}",
  "evidence": "依据", "evidence.note": "模型回答的依据：琥珀色为支持，青色为反对；并非诊断所见。", "evidence.red": "红色", "evidence.for": "支持", "evidence.blue": "蓝色", "evidence.against": "反对：这是此回答的依据，不是发现，也不是发现的位置。", "outlines": "轮廓", "range": "{low} 至 {high}", "usual": "通常 {low} 至 {high}",

  "images.title": "影像", "images.lead": "放入图像，查看标签、把握程度和各步耗时。图像不会保留：回答后即遗忘。", "images.drop": "将图像拖到这里", "images.choose": "选择文件", "images.limits": "PNG、JPEG 或 DICOM，每个不超过 {size}，一次最多 {count} 个；同时发送三个", "images.samples": "或试一张绘图：",
  "images.drawing": "绘图：模型对它的回答没有意义", "images.sample.clear": "胸片，清晰", "images.sample.hazy": "胸片，模糊", "images.sample.dicom": "DICOM，3 帧", "images.sample.blank": "空白", "images.sample.cell": "血细胞", "images.sample.nuclei": "细胞核", "bars.anyway": "仍要查看概率", "regions.none": "未发现", "regions.share": "各标签占图像的比例", "denied": "文中已否认", "said.speculated": "推测", "said.historical": "既往", "said.family": "亲属", "said.other": "他人", "audit.person": "人员", "audit.person.hint": "标识；只显示与此人有关的行", "images.none": "没有在用的影像模型。", "images.all": "{count} 张图像", "images.certainty": "把握 {value}", "images.done": "已回答 {count} 张图像",
  "images.too-many": "一次最多 {count} 张；有 {left} 张未加入。清空列表后可继续。", "images.too-large": "文件大小为 {size}，此服务器最多接受 {most}，未发送。", "images.empty": "文件为空，未发送。", 
  "picture.alt": "图像 {name}", "picture.large": "太大，无法在此显示", "picture.unreadable": "浏览器无法显示此图像", "picture.dicom": "浏览器无法显示此文件的像素；服务器会自行读取", "dicom.frame": "帧", "dicom.center": "窗位", "dicom.width": "窗宽", "dicom.seen": "窗位和窗宽只改变这里的显示，不改变模型读取的内容。",

  "notes.title": "病历文本", "notes.lead": "写下已知的内容，查看其归属。未知的留空：模型训练时就有缺失。", "notes.none": "没有在用的文本模型。", "notes.one": "一条", "notes.batch": "多条（CSV）", "notes.note": "文本", "notes.fields": "其他已知信息", "notes.fields.lead": "未知的请留空。", "notes.ask": "提问", "notes.no-number": "这不是数字。", "notes.not-asked": "未提问：以下各项中填写的不是数字：{fields}。", "notes.empty": "回答显示在这里。", "notes.changed": "回答之后内容有改动，请重新提问。", "notes.raised": "危险信号要求至少此级别。模型自身认为最可能的是 {label}；其概率未作改动。", "notes.scale": "{scale} 分级", "notes.read": "已读 {tokens} 个词元。", "notes.truncated": "文本超出模型所读长度：读取了开头和结尾。",
  "flags": "危险信号", "flags.least": "至少为 {label} 级", "missing": "未知", "missing.lead": "有了这些，回答可能更有把握。", "entities": "文本中提到的", "entities.none": "其中没有此模型要找的内容。", "relations": "其间的关系",
  "batch.drop": "将 CSV 文件拖到这里", "batch.choose": "选择文件", "batch.columns": "列：", "batch.sample": "试用虚构的文件", "batch.no-note": "文件中没有名为 note 的列。各列以逗号分隔；找到的列：{found}。", "batch.encoding": "文件不是 UTF-8 编码，字符会被误读。请另存为“CSV UTF-8”后再放入。", "batch.long": "未提问：此行有 {cells} 个单元格，而表头有 {columns} 个。含逗号的文本须加引号。", "batch.quote": "第 {row} 行的引号没有闭合，或闭合后还有文字：其后的内容会被当作同一条文本。请改正文件后再放入。", "batch.twice": "表头中有重复的列：{columns}。无法判断应读取哪一列，因此未提问。", "batch.no-rows": "表头下没有数据行。", "batch.unknown": "模型不读取的列：", "batch.done": "已回答 {count} 条", "batch.more": "另有 {count} 条，见下载文件",
  "field.age": "年龄", "field.sex": "性别", "field.arrival": "到院方式", "field.injury": "外伤", "field.mental": "意识状态", "field.pain": "疼痛", "field.nrs_pain": "疼痛评分 0–10", "field.sbp": "收缩压", "field.dbp": "舒张压", "field.heart_rate": "心率", "field.respiratory_rate": "呼吸频率", "field.temperature_c": "体温", "field.spo2": "血氧饱和度",

  "people.title": "人员", "people.lead": "什么适合此人、理由何在，以及排序之前排除了什么。", "people.id": "编号", "people.id.hint": "您的系统中此人的编号", "people.open": "打开", "people.recommended": "推荐", "people.excluded": "已排除", "people.none-excluded": "候选中没有被排除的。", "people.nothing": "没有可推荐的。", "people.record": "记录", "people.record.of": "记录与 {name} 的一次往来", "people.more-excluded": "另有 {count} 项", "people.record.sure": "为 {person} 记录：{event}，{name}？此后将留在记录中。", "people.recorded": "已记录：{event}，{name}。此人已有的不再推荐（可重复的除外）；列表即为下一次回答。", "people.as-of": "已包含 {time} 之前写入的一切。", "people.history": "最近发生的", "people.no-history": "没有记录。", "people.history.more": "更早还有记录。", "people.neighbors": "与此人相似的人（仅管理员）",
  "kind.hospital": "医院", "kind.doctor": "医生", "kind.pharmacy": "药房", "kind.drug": "药品", "kind.advice": "健康建议", "similarity": "相似度", "similarity.cosine": "余弦相似度", "similarity.pearson": "皮尔逊相关", "similarity.euclidean": "欧氏距离",
  "strategy.neighbors": "依据相似的人", "strategy.neighbors.why": "经历相似的人所有的", "strategy.learned": "依据学习的模型", "strategy.learned.why": "由往来记录训练的模型", "strategy.context": "依据个人情况", "strategy.context.why": "记录太少，依据年龄、病情与地点", "strategy.popular": "依据多数人", "strategy.popular.why": "别无所知，依据多数人所有的", "strategy.insufficient_evidence": "所知太少", "strategy.insufficient_evidence.why": "宁可不推荐，也不猜测",
  "because.neighbors": "{count} 位经历相似的人有此项", "because.few": "少数经历相似的人有此项", "because.shared": "与他们共有：", "because.context": "他们的共同点：", "severity.contraindicated": "禁忌", "severity.serious": "严重", "severity.caution": "慎用", "moved.new": "新",
  "profile.birth_year": "出生", "profile.sex": "性别", "profile.conditions": "病情", "profile.allergies": "过敏", "profile.medications": "在用药", "profile.pregnant": "怀孕", "profile.lifestyle": "生活方式", "profile.unknown": "未询问", "profile.no": "无", "sex.female": "女", "sex.male": "男", "sex.other": "其他",
  "map.alt": "有 {count} 个地点的地图", "map.caption": "红点为住处；圆环间隔 {ring} 公里；小点为同类的其他地点。", "map.caption.away": "此人住处未知。", "map.north": "北",

  "cases.title": "病例", "cases.lead": "与一段文本相似的既往病例，以及据以找到它们的词。", "cases.query": "要找什么", "cases.search": "搜索", "cases.none": "没有相似的病例。", "cases.rank": "已存病例中最相似的排在最前，无论相似程度多低：使用之前请先阅读。", "cases.no-words": "没有共同的词，仅凭语义找到。", "cases.because": "依据：", "cases.whole": "完整病例", "cases.filter": "只找这样的病例：", "cases.only": "只找{name}与此相同的病例", "cases.unfilter": "不再限定{name}", "cases.similarity": "相似度 {value}",

  "models.title": "模型", "models.lead": "在用的模型、其训练数据，以及在哪些数据上表现如何。", "models.none": "没有在用的模型。", "model.labels": "标签", "model.abstain": "低于此不作回答", "model.report.close": "收起报告", "model.report.open": "打开训练报告", "model.report.table": "报告中的表格", "model.report.plot": "图", "model.report": "保存", "model.report.what": "该页面列出答错的样本及其内容，仅供有权查看的人员使用。", "model.data": "训练数据", "measures": "指标", "split": "划分", "confusion": "按真值统计的回答", "confusion.corner": "真值 / 回答",
  "measure.examples": "样本数", "measure.accuracy": "准确率", "measure.auc": "AUC", "measure.macro_f1": "宏 F1", "measure.ece": "ECE", "measure.abstained": "不作回答", "measure.accuracy_answered": "已答准确率", "measure.under_triage": "分诊不足", "measure.over_triage": "分诊过度", "measure.quadratic_weighted_kappa": "加权 kappa", "measure.dice": "Dice", "measure.iou": "IoU", "measure.f1": "F1",
  "task.image-classification": "影像", "task.image-segmentation": "影像分割", "task.image-generation": "合成影像", "task.note-classification": "文本", "task.note-extraction": "文本中的实体", "task.text-embedding": "嵌入", "task.recommendation": "推荐",
  "repository": "模型文件夹", "repository.closed": "查看模型文件夹及上线下线仅供管理员：请输入其密钥。", "repository.load": "上线", "repository.unload": "下线", "repository.load.done": "{name} 已上线", "repository.unload.done": "{name} 已下线", "state.ready": "在用", "state.away": "未用",

  "operations.title": "运行", "operations.lead": "此服务器的健康、负载与漂移，每两秒读取一次；本页的请求不计入。", "ops.ready": "就绪", "ops.yes": "就绪", "ops.no": "未就绪", "ops.version": "版本 {version}", "ops.failed": "{count} 个 5xx 回答", "ops.rate": "请求", "ops.per-second": "每秒", "ops.queue": "等待模型", "ops.idle": "无等待", "ops.memory": "内存", "ops.connections": "数据库连接 {busy} / {most} 忙", "ops.latency": "各路由的延迟", "ops.requests": "请求数", "ops.stages": "各步中位耗时", "ops.refused": "被拒绝", "ops.answered": "回答 {status}", "ops.none-refused": "没有被拒绝的请求。", "ops.nothing": "还没有请求。", "ops.window": "速率为最近 {seconds} 秒；其余自启动以来。",
  "rejected.queue_full": "队列已满", "rejected.too_many": "同时过多", "rejected.deadline": "超过期限", "rejected.busy": "繁忙", "rejected.slow_body": "正文过慢", "rejected.connections": "连接过多", "rejected.draining": "正在关闭", "rejected.unauthorized": "无已知密钥", "rejected.forbidden": "密钥无此权限", "rejected.rate": "过于频繁",
  "drift": "回答与训练时的对比", "drift.lead": "每个模型的回答，与其在留出数据上的回答对比（小字与虚线为留出数据）。偏移并不说明回答错误，而是说明送来的内容与模型试验时的不同。",
  "drift.window": "时间范围", "drift.verdict": "分布", "drift.hours": "{count} 小时", "drift.days": "{count} 天", "drift.none": "这段时间没有回答。", "drift.silent": "没有回答：", "drift.answers": "回答数", "drift.of": "{count} 次回答", "drift.certainty": "平均把握", "drift.index": "稳定性指数", "drift.chance": "偶然：{value}", "drift.now": "现在", "drift.held-out": "留出数据", "drift.over-time": "随时间", "drift.index.over-time": "稳定性指数随时间变化（虚线：0.25；浅色：回答太少，无法判断）",
  "drift.is.stable": "与训练一致", "drift.is.moved": "有变化", "drift.is.shifted": "明显偏移", "drift.is.few": "太少", "drift.is.unknown": "无可对比",
  "drift.says.stable": "回答在各标签上的分布与留出数据一致：稳定性指数为 {index}，仅偶然即可达到 {chance}。", "drift.says.moved": "回答的分布有变化：稳定性指数为 {index}，而偶然最多达到 {chance}。值得查看。", "drift.says.shifted": "回答的分布与留出数据明显不同：稳定性指数为 {index}，而偶然最多达到 {chance}。依赖此模型之前，请查看送来的内容。", "drift.says.few": "回答太少，无法判断：只有 {count} 次，仅偶然就可使稳定性指数达到 {chance}。", "drift.says.unknown": "此模型的包没有说明它在留出数据上的回答，因此无可对比。",
  "drift.changed": "变化最大：", "drift.less": "它的把握（{now}）低于留出数据（{low} 至 {high}）。", "drift.more": "它的把握（{now}）高于留出数据（{low} 至 {high}）。", "drift.split": "留出数据：{examples} 例（“{split}”部分）。只统计在用版本，按 UTC 计时。", "drift.measure": "群体稳定性指数（PSI），计入各标签和未给出的回答：Σ（现在 − 当时）· ln（现在 / 当时）。通常 0.1 值得查看，0.25 即为另一种分布；“偶然”指在没有变化时，100 次中有 99 次不会超过的值。平均把握与准确率加减校准误差对比。", "drift.closed": "随时间变化的回答只供管理员查看。自本服务器启动以来：",
  "generate": "生成图像", "generate.lead": "某一标签的图像，用于教学和软件试用。它们不是任何人的图像，也不能作为任何依据；每张图像的文件中和角上都标明是合成的。", "generate.count": "数量", "generate.count.hint": "1 至 64", "generate.seed": "种子", "generate.seed.hint": "相同的种子生成相同的图像；留空则每次不同", "generate.go": "生成", "generate.working": "正在生成，每张需要片刻……", "generate.made": "{count} 张合成图像，标签“{label}”，种子 {seed}", "generate.alt": "{label} 的合成图像 {number}", "generate.synthetic": "合成", "generate.save": "下载", "generate.save.of": "下载第 {number} 张", "label": "标签",

  "audit.title": "审计", "audit.lead": "谁向哪个模型问了什么、得到什么回答。不含输入，只有其摘要。", "audit.text": "查找", "audit.text.hint": "调用者、模型、回答、状态、请求编号或摘要", "audit.outcome": "结果", "audit.all": "全部", "audit.decisions": "决定", "audit.calls": "全部调用", "audit.answered": "已回答", "audit.fresh": "重新读取", "audit.more": "读取更多", "audit.more-of": "更多", "audit.whole": "此决定的全部", "audit.nothing": "没有符合的。", "audit.nothing-yet": "已读的行中没有符合的；请读取更多，或缩小时间范围。", "audit.count": "已读 {read} 行，显示 {shown} 行", "audit.time": "时间", "audit.caller": "调用者", "audit.call": "调用", "audit.took": "耗时", "audit.answer": "回答",

  "cancel": "取消", "path.dots": "无法请求“{id}”：浏览器会把它从地址中去掉。服务器已不接受这样的编号，请改用别的编号。", "repository.unload.sure": "要将 {name} 下线吗？重新上线之前，向它提问都会被拒绝。", "audit.from": "自", "audit.to": "早于", "audit.to.hint": "按本机时间", "audit.reading": "已读 {read} 行……",

  // What the shipped packages, and records, say in a word or two (`told`).
  "as.years": "岁", "as./min": "次/分", "as.male": "男", "as.female": "女", "as.other": "其他", "as.yes": "是", "as.no": "否",
  "as.unknown": "未知", "as.private ambulance": "私人救护车", "as.private vehicle": "私家车", "as.public ambulance": "公共救护车",
  "as.ambulance": "救护车", "as.walking": "步行", "as.alert": "清醒", "as.verbal response": "对呼唤有反应",
  "as.pain response": "对疼痛有反应", "as.unresponsive": "无反应", "as.Resuscitation": "复苏", "as.Emergency": "危急",
  "as.Urgent": "紧急", "as.Less urgent": "次紧急", "as.Nonurgent": "非紧急", "as.immediate": "立即", "as.emergent": "危急",
  "as.urgent": "紧急", "as.semi-urgent": "次紧急", "as.nonurgent": "非紧急", "as.Drug": "药物", "as.Effect": "反应",
  "as.Disorder": "病症", "as.Chemical": "化学物质", "as.Disease": "疾病", "as.adverse effect": "不良反应",
  "as.a drug that was given": "所用的药物", "as.what followed from it, mostly an adverse effect": "用药后的反应，多为不良反应",
  "as.what the drug was given for": "用药的病症", "as.a drug or other chemical": "药物或其他化学物质",
  "as.a disease, a symptom or a finding": "疾病、症状或发现", "as.train": "训练", "as.val": "验证", "as.dev": "开发", "as.test": "测试",
  "as.train, with red flags": "训练（含危险信号）", "as.val, with red flags": "验证（含危险信号）", "as.val, among asides": "验证（夹杂旁述）",
  "as.dev, bc5cdr": "开发（bc5cdr）", "as.dev, ncbi-disease": "开发（ncbi-disease）", "as.visit": "就诊", "as.dispense": "取药",
  "as.prescription": "处方", "as.follow": "采纳", "as.airway": "气道", "as.abdomen": "腹部", "as.anaphylaxis": "过敏性休克",
  "as.arrest": "心脏骤停", "as.bleeding": "出血", "as.breathing": "呼吸", "as.burned surface": "烧伤面积", "as.burns": "烧伤",
  "as.child": "儿童", "as.drowning or hanging": "溺水或缢颈", "as.embolism": "栓塞", "as.eye": "眼", "as.gcs": "格拉斯哥昏迷评分",
  "as.heart": "心脏", "as.major trauma": "严重创伤", "as.overdose or poisoning": "过量或中毒", "as.penetrating injury": "穿透伤",
  "as.pregnancy": "妊娠", "as.seizure": "抽搐", "as.sepsis": "脓毒症", "as.shock": "休克", "as.state of mind": "意识状态",
  "as.stroke": "卒中", "as.sugar or salts": "血糖或电解质", "as.suicide": "自杀", "as.unconscious": "昏迷",
};
